/*
 * The input gate: may this event begin now? A section is a stretch of an
 * object's life in which only its own events run; critical sections
 * (blockConcurrencyWhile, storage.transaction, the constructor) nest. An event
 * belongs to the section in which it was asked for, and begins when no section
 * inside that one runs.
 *
 * It knows order. It never sees an instance, a timer or a promise.
 */

/** A piece of work that waits: an event, a timer, an answer. It never throws. */
export type Work = () => void;

/** The order in which a gate lets things in; semantics 1.4. */
export class Section {
  readonly parent: Section | null;
  readonly depth: number;

  /** The critical section that runs inside this one. */
  child: Section | null = null;
  #over = false;

  // Invariant: both are empty when #over.
  readonly #sections = new Queue<Work>(); // critical sections that wait to begin: first
  readonly #waiting = new Queue<Work>(); // everything else

  constructor(parent: Section | null, depth: number) {
    this.parent = parent;
    this.depth = depth;
  }

  /** This section, or the nearest one around it that has not ended. */
  live(): Section {
    let s: Section = this;
    while (s.#over && s.parent !== null) s = s.parent;
    return s;
  }

  /** Whether an event of this section may begin at once, and nobody is before it. */
  get open(): boolean {
    return this.child === null && !this.#over && this.#sections.length === 0 && this.#waiting.length === 0;
  }

  get waiting(): number {
    return this.#sections.length + this.#waiting.length;
  }

  wait(work: Work): void {
    this.#waiting.push(work);
  }

  waitForSection(work: Work): void {
    this.#sections.push(work);
  }

  /** The next piece of work that may begin now. */
  next(): Work | undefined {
    if (this.child !== null || this.#over) return undefined;
    return this.#sections.shift() ?? this.#waiting.shift();
  }

  /** Begins a section inside this one. Pairs with `end` of what it returns. */
  enter(depth = this.depth + 1): Section {
    if (this.child !== null) throw new Error("a section runs already");
    return (this.child = new Section(this, depth));
  }

  /** What still waits here now waits for the parent, behind its own. */
  end(): void {
    const parent = this.parent;
    if (parent === null || this.#over) throw new Error("section cannot end");
    this.#over = true;
    parent.child = null;
    for (let w = this.#sections.shift(); w !== undefined; w = this.#sections.shift()) parent.#sections.push(w);
    for (let w = this.#waiting.shift(); w !== undefined; w = this.#waiting.shift()) parent.#waiting.push(w);
  }

  /** Drops everything that waits here and inside, for ever: the object is broken. */
  clear(): void {
    this.#sections.clear();
    this.#waiting.clear();
    this.child?.clear();
  }
}

/** A queue whose shift does not move the rest. */
export class Queue<T> {
  #items: T[] = [];
  #first = 0;

  get length(): number {
    return this.#items.length - this.#first;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    if (this.#first === this.#items.length) return undefined;
    const item = this.#items[this.#first]!;
    this.#items[this.#first++] = undefined as T;
    if (this.#first === this.#items.length) {
      this.#items = [];
      this.#first = 0;
    } else if (this.#first > 1024 && this.#first * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return item;
  }

  clear(): void {
    this.#items = [];
    this.#first = 0;
  }
}
