/*
 * Pulse is what this thread shows of its turns to the watchdog, in memory that
 * both see: watchdog.ts. A turn costs two stores and no call to the system.
 *
 * What Node continues (behind a digest, in a callback of a stream) is no turn.
 * So while there is anything to do the event loop shows that it goes round, a
 * few times in the time that a turn may take: the beat.
 */

import { nativeClearInterval, nativeSetInterval } from "./native.ts";

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
  /** Counts how often the event loop has come round to the beat; wraps. */
  beats: 4,
  /** 1 while there is a beat. */
  beating: 5,
  /** 1 while DevTools may stop this thread: the watchdog keeps away. */
  inspected: 6,
} as const;

/** In place of a beat: the question is about a turn. */
export const inTurn = -1;

/** In place of a turn: a heap snapshot is wanted, of whatever runs now. */
export const forSnapshot = -2;

export class Pulse {
  readonly words = new Int32Array(new SharedArrayBuffer(28));
  #period = 0; // of the beat; 0: it is not wanted
  #occupied: () => boolean = () => false;
  #beat: ReturnType<typeof nativeSetInterval> | undefined;

  /** Wants a beat from here on, with this period, after each macrotask until nothing is `occupied`. */
  keep(period: number, occupied: () => boolean): void {
    this.#period = period;
    this.#occupied = occupied;
  }

  /** A macrotask begins. Pairs with `rest`. */
  begin(): void {
    if (this.#beat === undefined && this.#period > 0) this.#start();
    Atomics.store(this.words, word.busy, 1);
    if (Atomics.load(this.words, word.asleep) === 0) return;
    Atomics.store(this.words, word.asleep, 0);
    Atomics.notify(this.words, word.asleep);
  }

  #start(): void {
    let turns = -1;
    Atomics.store(this.words, word.beating, 1);
    this.#beat = nativeSetInterval(() => {
      Atomics.add(this.words, word.beats, 1);
      const now = Atomics.load(this.words, word.turns);
      if (now === turns && !this.#occupied()) {
        nativeClearInterval(this.#beat);
        this.#beat = undefined;
        Atomics.store(this.words, word.beating, 0);
      }
      turns = now;
    }, this.#period);
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

  /** Whether the event loop has not come round since, and no turn runs. */
  isStill(turn: number, beat: number): boolean {
    const { words } = this;
    return Atomics.load(words, word.busy) === 0 && Atomics.load(words, word.turns) === turn && Atomics.load(words, word.beats) === beat;
  }

  /** Tells the watchdog whose code runs. */
  blame(object: number): void {
    Atomics.store(this.words, word.object, object);
  }
}
