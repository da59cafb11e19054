/*
 * Turns: each event is a turn of its own. Its synchronous part runs, then every
 * microtask and next-tick, then the turn's implicit transactions are committed;
 * only then the next event begins, even of the same batch. Without this a
 * read-modify-write over `await storage.get()` loses updates when two messages
 * come in one read.
 *
 * Everything that runs an author's code comes through here: events, timers,
 * answers. What Node itself continues (a stream, a digest) cannot; its outputs
 * leave at the end of that macrotask.
 */

import { ambient, currentOwner } from "./ambient.ts";
import type { Section, Work } from "./gate.ts";
import { nativeProcess, nativeSetImmediate } from "./native.ts";
import type { Outlet } from "./outlet.ts";
import type { Owner } from "./owner.ts";
import { Pace } from "./pace.ts";
import { Pulse } from "./pulse.ts";
import { Rota } from "./rota.ts";
import { enterScope, type Scope } from "./scope.ts";
import { frame } from "./wire.ts";

/** Runs microtasks and next-ticks until there are none. Taken before author code exists. */
const tick = nativeProcess._tickCallback;

/** As `tick`; what an author's tick throws does not end the turn. */
function drain(): void {
  for (;;) {
    try {
      tick();
      return;
    } catch (e) {
      currentOwner().uncaught(e);
    }
  }
}

/** More than this is written out before the batch ends. */
const flushAt = 1 << 20;
/** The machine's, whatever a test has set. */
const steady = performance.now.bind(performance);

/** After so many turns that code of this guest has asked for directly, or so many ms of them, whatever else has come gets its turn. */
const maxHops = 64;
const maxHopping = 8;

/** What waits for a macrotask. An event is given up with `refuse`, between two turns, when it has waited for too long. */
interface Ahead {
  readonly scope: Scope;
  readonly work: Work;
  readonly refuse: Work | null;
  readonly since: number;
}

/** What Turns needs of the guest. */
export interface Around {
  /** Writes what the outlet holds to the host. */
  write(): void;
  /** After a cut, before anything else of ours runs. */
  afterCut(): void;
  /** Called in a macrotask of its own after `bounce`. */
  bounced(): void;
  /** A macrotask of ours is over and nothing runs. */
  finished(): void;
  /** Something of ours has thrown: the guest ends. */
  fatal(error: unknown): void;
}

export class Turns {
  readonly out: Outlet;
  readonly pulse = new Pulse();
  readonly pace = new Pace(steady);
  readonly #around: Around;

  // True while a turn, or the loop between turns, is on the stack.
  #busy = false;
  #bounced = false;
  #wasCut = false;
  readonly #touched: Owner[] = [];
  readonly #dirty: Owner[] = [];
  readonly #runnable: Section[] = [];

  // Since this macrotask began; and what it leaves for the next one.
  #hops = 0;
  readonly #next = new Rota<Owner, Ahead>();
  #goesOn = false;

  readonly #bounce = new MessageChannel();

  constructor(out: Outlet, around: Around) {
    this.out = out;
    this.#around = around;
    // A message port keeps its queue outside JavaScript, so it survives a cut;
    // immediates and ticks that wait behind the one that is cut do not.
    this.#bounce.port1.on("message", () => {
      this.#bounced = false;
      this.#guard(() => around.bounced());
    });
    // The guest lives as long as its connection to the host.
    this.#bounce.port1.unref();
  }

  /** Does a turn run right now? */
  get busy(): boolean {
    return this.#busy;
  }

  /** Makes sure that `finish` comes, whatever runs now. */
  bounce(): void {
    if (this.#bounced) return;
    this.#bounced = true;
    this.#bounce.port2.postMessage(null);
  }

  touch(owner: Owner): void {
    owner.touched = true;
    this.#touched.push(owner);
    if (!this.#busy) this.bounce();
  }

  /** The owner has an open implicit transaction: commit it when the turn ends. */
  dirty(owner: Owner): void {
    this.#dirty.push(owner);
    if (!this.#busy) this.bounce();
  }

  /** A gate may have work that can begin. */
  wake(section: Section): void {
    this.#runnable.push(section);
    if (!this.#busy) this.bounce();
  }

  /**
   * An event of `scope`: a turn now if the gate is open, otherwise when it
   * opens. Only between `begin` and `finish`, and never inside a turn.
   */
  event(scope: Scope, work: Work): void {
    const section = scope.section.live();
    if (!section.open) {
      section.wait(this.#timed(scope, inScope(scope, work)));
      return;
    }
    this.pulse.turn(scope.owner.number);
    enterScope(scope);
    work();
    drain();
    this.afterTurn(scope.owner);
  }

  /** An event that waits at the gate: the host is told for how long, when it begins. */
  #timed({ owner }: Scope, work: Work): Work {
    if (owner.number === 0) return work;
    const since = performance.now();
    return () => {
      const waited = performance.now() - since;
      if (waited >= 1 && !owner.gone) this.out.twoNumbers(frame.waited, owner.number, Math.min(waited * 1000, 0xffffffff) >>> 0);
      work();
    };
  }

  /** The microtasks and next-ticks of a turn. */
  drain(): void {
    drain();
  }

  /** What follows a turn: its commit, and what its end has let in. `owner` is whose it was, if it says how long its turns take. */
  afterTurn(owner: Owner | null): void {
    if (this.#dirty.length > 0) this.#commit();
    this.#turnEnded();
    if (owner !== null) owner.typical = this.pace.typical(owner.typical);
    if (this.#runnable.length > 0) this.#pump();
  }

  /** What Node continued, or was asked for between turns, may have left work. */
  #settle(): void {
    if (this.#dirty.length > 0) this.#commit();
    if (this.#runnable.length > 0) this.#pump();
  }

  /** Between two turns: writes what there is. What has begun stands before the word that its frame is handled. */
  flush(): void {
    this.#tell();
    this.#around.write();
    this.pace.wroteAndGoesOn();
  }

  /** Once for each turn: writes what is much, and about every 2 ms where turns take long. */
  #turnEnded(): void {
    this.pace.ended();
    if (this.out.at > flushAt || this.pace.late) this.flush();
  }

  #tell(): void {
    const touched = this.#touched;
    for (let i = 0; i < touched.length; i++) {
      const owner = touched[i]!;
      owner.touched = false;
      owner.tellProgress(this.out);
    }
    touched.length = 0;
  }

  /** A turn of its own, soon. From anywhere, also inside a turn. */
  later(scope: Scope, work: Work): void {
    const section = scope.section.live();
    section.wait(inScope(scope, work));
    this.wake(section);
  }

  /** As `later`, for what code of this guest says to other code of it: so much of it that nothing else starves. */
  soon(scope: Scope, work: Work): void {
    if (this.#hop(scope, work)) return;
    this.#next.goOn({ scope, work, refuse: null, since: 0 });
    this.#goOn();
  }

  /** As `soon`, for an event that begins with it. One that other code has kept waiting for longer than it may is refused. */
  soonBegin(scope: Scope, work: Work, refuse: Work): void {
    if (this.#hop(scope, work)) return;
    this.#next.begin(scope.owner, { scope, work, refuse, since: steady() });
    this.#goOn();
  }

  #hop(scope: Scope, work: Work): boolean {
    if (this.#next.length > 0 || this.#hops >= maxHops) return false;
    this.#hops++;
    this.later(scope, work);
    return true;
  }

  /** Another macrotask, behind what has come from outside: a message of the port would be handled before that. */
  #goOn(): void {
    if (this.#goesOn) return;
    this.#goesOn = true;
    nativeSetImmediate(() => {
      this.#goesOn = false;
      this.#guard(() => this.#around.bounced());
    });
  }

  /** As `later`, ahead of what waits: the beginning of a critical section. */
  laterSection(scope: Scope, work: Work): void {
    const section = scope.section.live();
    section.waitForSection(inScope(scope, work));
    this.wake(section);
  }

  /** A macrotask of ours (a timer): one event, and what follows. */
  macrotask(scope: Scope, work: Work): void {
    if (this.#busy) {
      this.later(scope, work);
      return;
    }
    this.#guard(() => {
      this.begin();
      this.event(scope, work);
      this.finish();
    });
  }

  /** What authors throw is caught where it is thrown; anything else is a fault of ours. */
  #guard(f: () => void): void {
    try {
      f();
    } catch (e) {
      this.#around.fatal(e);
    }
  }

  /** The macrotask is over: tell progress, write. Pairs with `begin`. */
  finish(): void {
    this.#settle();
    this.pace.rest();
    this.#tell();
    this.#busy = false;
    this.pulse.rest();
    this.#around.write();
    this.pace.wrote();
    this.#around.finished();
  }

  /** Whether the macrotask should pause after this turn, for others are kept waiting. What code of this guest has asked for has its share. */
  get due(): boolean {
    return this.pace.due(this.#next.length > 0 ? maxHopping : 0);
  }

  /** Between two turns: the event loop comes round. What is said is written with what comes behind it. Pairs with `begin` or `resume`. */
  pause(): void {
    this.pace.rest();
    this.#busy = false;
    this.pulse.rest();
  }

  /** Goes on behind `pause`. */
  resume(): void {
    if (this.#wasCut) {
      this.begin();
      return;
    }
    this.#busy = true;
    this.pulse.begin();
    this.pace.begin();
    this.#settle();
  }

  /** Before the first turn of a macrotask. */
  begin(): void {
    if (this.#wasCut) {
      this.#wasCut = false;
      this.#around.afterCut();
    }
    this.#busy = true;
    this.pulse.begin();
    this.#hops = 0;
    this.pace.begin();
    if (this.#next.length > 0) this.#hopOn();
    this.#settle();
  }

  /** Goes on with what the last macrotask has left. */
  #hopOn(): void {
    const limit = ambient.config.limits.queueTime;
    const until = steady() + maxHopping;
    for (let now = steady(); this.#next.length > 0 && this.#hops < maxHops && now < until; now = steady()) {
      const { scope, work, refuse, since } = this.#next.shift()!;
      this.#hops++;
      if (refuse !== null && limit > 0 && now - since > limit) refuse();
      else this.later(scope, work);
      this.#settle();
    }
    if (this.#next.length > 0) this.#goOn();
  }

  /** The stack is thrown away (abort); somebody calls `begin` and `finish` later. */
  cut(): void {
    this.#busy = false;
    this.#wasCut = true;
    this.#bounced = this.#goesOn = false; // immediates do not survive it
    this.bounce();
  }

  #commit(): void {
    // A commit may touch and may break its owner; it never writes to another one.
    for (let owner = this.#dirty.shift(); owner !== undefined; owner = this.#dirty.shift()) owner.commitTurn();
  }

  /** Lets in what waits at gates that may have opened, each as a turn. */
  #pump(): void {
    for (let section = this.#runnable[0]; section !== undefined; section = this.#runnable[0]) {
      const work = section.live().next();
      if (work === undefined) {
        this.#runnable.shift();
        continue;
      }
      work();
      drain();
      if (this.#dirty.length > 0) this.#commit();
      this.#turnEnded();
    }
  }
}

function inScope(scope: Scope, work: Work): Work {
  return () => {
    scope.owner.turns.pulse.turn(scope.owner.number);
    enterScope(scope);
    work();
  };
}
