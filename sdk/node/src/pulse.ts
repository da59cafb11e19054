/*
 * Pulse is what this thread shows of its turns to the watchdog, in memory that
 * both see: watchdog.ts. A turn costs two stores and no call to the system.
 */

/** Places in the shared memory. */
export const word = {
  /** Counts the turns; wraps. */
  turns: 0,
  /** 1 while a macrotask of ours runs. */
  busy: 1,
  /** 1 while the watchdog sleeps until it is woken. */
  asleep: 2,
  /** The number of the object whose turn it is; 0: the Worker. */
  object: 3,
} as const;

export class Pulse {
  readonly words = new Int32Array(new SharedArrayBuffer(16));

  /** A macrotask begins. Pairs with `rest`. */
  begin(): void {
    Atomics.store(this.words, word.busy, 1);
    if (Atomics.load(this.words, word.asleep) === 0) return;
    Atomics.store(this.words, word.asleep, 0);
    Atomics.notify(this.words, word.asleep);
  }

  rest(): void {
    Atomics.store(this.words, word.busy, 0);
  }

  /** A turn of an object begins, and with it the one before has ended. */
  turn(object: number): void {
    Atomics.store(this.words, word.object, object);
    Atomics.add(this.words, word.turns, 1);
  }

  /** Whether this turn is still on the stack. */
  isIn(turn: number): boolean {
    return Atomics.load(this.words, word.busy) === 1 && Atomics.load(this.words, word.turns) === turn;
  }
}
