/*
 * Pace is how long turns take, and what follows from it: how often the clock is
 * looked at, when what was said is due to be written, when the event loop should
 * come round, and which objects are quick. Where turns are short the clock is
 * looked at once for several; where they are long, after each.
 *
 * It knows times. It never sees a turn.
 */

/** What has waited so long for the turns behind it is written, if those were many; ms. What a few turns say belongs together. */
const flushAfter = 2;
const manyTurns = 8;
/** So is what has waited for this long for a few; ms. */
const flushAtLast = 16;
/** While turns are long, what comes in is looked at about so often; ms. */
const slice = 0.1;
/** Turns that take so long on average are long; those that take less than half of it are not any more. ms. */
const long = 0.02;
/** How many turns go by between two looks while they are short. */
const turnsPerLook = 8;
/** A quick object's turns take less than this part of the others'. */
const quickPart = 1 / 3;

export class Pace {
  readonly #clock: () => number;

  // As far as anybody has looked: the time, and turns since then and until the next look.
  #now = 0;
  #turns = 0;
  #perLook = turnsPerLook;

  #mean = 0; // of turns, but for those of quick objects that went first
  #long = false;

  // Since when what is said waits to be written (0: nothing does), and turns since then.
  #since = 0;
  #unwritten = 0;
  #slice = 0; // when it began
  #first = false; // quick objects go first just now
  #worked = 0; // what the turns of the last slice took
  #left = 0; // of that, what quick objects may take before the next one

  /** What the turn that has ended last took; ms. 0: nobody has looked. */
  took = 0;

  /** `clock` never goes back. */
  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** A macrotask of turns begins. */
  begin(): void {
    this.#now = this.#slice = this.#clock();
    if (this.#since === 0) this.#since = this.#now;
    this.#turns = 0;
    this.#goInTurn(); // a turn that went first may have been cut
  }

  /** A turn has ended. */
  ended(): void {
    this.#unwritten++;
    if (++this.#turns >= this.#perLook) this.#look();
    else this.took = 0;
  }

  /** The macrotask is over, or pauses. */
  rest(): void {
    if (this.#turns > 0) this.#look();
    this.#worked = this.#now - this.#slice;
  }

  #look(): void {
    const now = this.#clock();
    const each = (now - this.#now) / this.#turns;
    this.took = this.#turns === 1 ? each : 0;
    this.#turns = 0;
    this.#now = now;
    if (this.#first) {
      this.#left -= each;
      return;
    }
    this.#mean += (each - this.#mean) / (this.#long ? turnsPerLook : 1);
    this.#long = this.#mean >= (this.#long ? long / 2 : long);
    this.#perLook = this.#long ? 1 : turnsPerLook;
  }

  /** Whether what was said has waited for long, as far as anybody has looked. */
  get late(): boolean {
    const waited = this.#now - this.#since;
    return waited >= flushAfter && (this.#unwritten >= manyTurns || waited >= flushAtLast);
  }

  /** All that was said has been written. */
  wrote(): void {
    this.#since = this.#unwritten = 0;
  }

  /** As `wrote`, and the macrotask goes on. */
  wroteAndGoesOn(): void {
    this.#since = this.#now;
    this.#unwritten = 0;
  }

  /** Whether the event loop should come round; `patience` is how long that has time (ms, 0: as long as is usual). */
  due(patience: number): boolean {
    return this.#long && this.#now - this.#slice >= (patience || slice);
  }

  /** Until `goOn` quick objects go first, for as long as the last slice took. */
  letFirst(): void {
    this.#first = true;
    this.#left = this.#worked;
    this.#perLook = 1;
  }

  /** Whether another one may go first. */
  get spare(): boolean {
    return this.#left > 0;
  }

  /** Pairs with `letFirst`. A slice begins. */
  goOn(): void {
    this.#goInTurn();
    this.#slice = this.#now;
  }

  #goInTurn(): void {
    this.#first = false;
    this.#perLook = this.#long ? 1 : turnsPerLook;
  }

  /** Whether one whose turns typically take so long (ms; 0: nobody knows) is quick beside those that run now. */
  quick(typical: number): boolean {
    return typical > 0 && typical < this.#mean * quickPart;
  }

  /** What its turns typically take, after one more. */
  typical(before: number): number {
    if (this.took === 0) return before;
    return before === 0 ? this.took : before + (this.took - before) / 4;
  }
}
