/*
 * Rota is the order in which what code of this guest has asked of other code of
 * it gets its turn, when more has been asked than one macrotask takes. What is
 * under way goes on before more is begun, or else the first answer of a thousand
 * would wait until all thousand calls have begun; and objects take turns, so that
 * nobody waits for all that a busy one has before it.
 *
 * It knows order. It never sees what it orders.
 */

import { Queue } from "./gate.ts";

interface Line<K, T> {
  readonly of: K;
  readonly waiting: Queue<T>;
}

/** Of each K events begin in the order in which they came; T is what waits. */
export class Rota<K, T> {
  readonly #ongoing = new Queue<T>();
  #before = 0; // of #ongoing, what comes before the next event. Invariant: 0 <= #before <= #ongoing.length
  // Invariant: each line in #order is in #lines too, once, and is not empty.
  readonly #lines = new Map<K, Line<K, T>>();
  readonly #order = new Queue<Line<K, T>>();
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** What goes on with something that has begun, in the order in which it comes. */
  goOn(item: T): void {
    this.#length++;
    this.#ongoing.push(item);
  }

  /** An event of `of` that has not begun. */
  begin(of: K, item: T): void {
    this.#length++;
    let line = this.#lines.get(of);
    if (line === undefined) {
      line = { of, waiting: new Queue() };
      this.#lines.set(of, line);
      this.#order.push(line);
    }
    line.waiting.push(item);
  }

  /** The next one: all that goes on by now, then one event, and so on. Neither can keep the other waiting for ever. */
  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    this.#length--;
    if (this.#before === 0) {
      const line = this.#order.shift();
      this.#before = this.#ongoing.length;
      if (line !== undefined) return this.#next(line);
    }
    this.#before--;
    return this.#ongoing.shift();
  }

  #next(line: Line<K, T>): T {
    const item = line.waiting.shift()!;
    if (line.waiting.length > 0) this.#order.push(line);
    else this.#lines.delete(line.of);
    return item;
  }
}
