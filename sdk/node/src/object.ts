/*
 * GuestObject is one activation of an object in this process: its instance, its
 * gate, its sockets, and what the host is told of it. It is born with `start`
 * and gone with `asleep`, `start failed` or `aborted`; after that nothing of it
 * runs, nothing of it leaves, and nothing here leads to the instance.
 */

import { ambient } from "./ambient.ts";
import { defines } from "./classes.ts";
import { level, log, logError } from "./console.ts";
import type { End, Payload } from "./end.ts";
import { durableObjectReset, flagged, remote, toWire, type WireError } from "./errors.ts";
import { nativeClearTimeout, nativeSetTimeout } from "./native.ts";
import { DirectEvents } from "./directs.ts";
import type { Outlet } from "./outlet.ts";
import { OutputGate } from "./output-gate.ts";
import { Owner, updated } from "./owner.ts";
import { enterScope, Scope, scopeOf } from "./scope.ts";
import { eventScope } from "./trace.ts";
import { SocketList } from "./socket-list.ts";
import type { ObjectStorage } from "./storage/index.ts";
import { makeState, type DurableObjectState } from "./state.ts";
import { clearTimers } from "./timers.ts";
import type { Turns } from "./turn.ts";
import { socketOf } from "./websocket.ts";
import { frame, ProtocolError } from "./wire.ts";

export type Instance = Record<string, unknown>;
export type Class = new (ctx: DurableObjectState, env: unknown) => Instance;

/** What an activation begins with. */
export interface Birth {
  number: number;
  classIndex: number;
  id: string;
  name: string | undefined;
  pair: Pair | null;
  eventTimeout: number; // ms, 0 none
}

export interface Pair {
  request: string;
  response: string;
}

/** What the guest does for its objects. */
export interface Home {
  readonly env: unknown;
  /** What ctx.exports holds. */
  readonly exports: unknown;
  construct(classIndex: number): Class;
  openStorage(o: GuestObject): ObjectStorage;
  /** An event that the host knows to wait here is about to begin. */
  begins(o: GuestObject, event: number): void;
  gone(o: GuestObject): void;
  /** Ends everything that is on the stack, uncatchably. */
  cut(): never;
}

/** An alarm is tried this many times again. */
const maxAlarmRetries = 6;

export const dropSockets = 1;
export const noAlarmRetry = 2;
/** Its code did not end by itself. */
export const ranAway = 4;

/** Whether an instance that has nothing to do leaves, or also one with tasks, or any; or one with tasks, but for outbound ones. */
export const mode = { ifIdle: 0, ifQuiet: 1, now: 2, evict: 3 } as const;

export class GuestObject extends Owner {
  readonly birth: Birth;
  readonly #home: Home;
  /** When the activation began; ms since 1970. */
  readonly born = Date.now();

  instance: Instance | null = null;
  state: DurableObjectState | null = null;
  storage: ObjectStorage | null = null;

  /** The hibernatable ones. */
  readonly sockets = new SocketList(this);

  pair: Pair | null;
  eventTimeout: number;

  // Events of this activation; they wrap.
  #started = 0;
  #finished = 0;
  #arrived = 0;
  #taken = 0; // of those that have arrived, how many the host knows that we have
  #lastOver = 0; // the event that has finished last
  // Events of sockets whose handlers go on beyond their turn: whether the host knows.
  #lasting: Map<number, boolean> | null = null;
  #untold: number[] = []; // those of which it does not; some may be over
  #told = false; // `started` has been sent

  // Events that code of this guest has brought past the host: direct.ts.
  readonly #direct = new DirectEvents();
  #closedToDirect = false; // it has been asked to leave, or the host has times to tell before an event

  readonly #outputs = new OutputGate(this);

  #questions = 0;
  readonly #asked = new Map<number, { scope: Scope; resolve: (bookmark: string) => void; reject: (e: Error) => void }>();

  constructor(birth: Birth, home: Home, turns: Turns) {
    super(birth.number, turns, turns.out);
    this.birth = birth;
    this.#home = home;
    this.pair = birth.pair;
    this.#closedToDirect = birth.pair !== null;
    this.eventTimeout = birth.eventTimeout;
  }

  // ---- Birth

  /** Runs the constructor. Events that come meanwhile wait. Between turns only. */
  construct(): void {
    const begun = performance.now();
    this.turns.pulse.turn(this.number);
    // The first in the queue, and behind the critical sections of the constructor.
    this.root.wait(() => this.#born(performance.now() - begun));
    const constructor = this.root.enter(0);
    enterScope(new Scope(this, constructor));
    try {
      const Class = this.#home.construct(this.birth.classIndex);
      this.storage = this.#home.openStorage(this);
      if (this.birth.name === undefined && defines(Class, "alarm") !== false) this.birth.name = this.storage.keptName;
      this.state = makeState(this, this.#home.exports);
      this.instance = new Class(this.state, this.#home.env);
    } catch (e) {
      this.die(toWire(e, durableObjectReset | remote), dropSockets);
      return;
    }
    this.turns.drain();
    if (this.gone) return;
    constructor.end();
    this.turns.wake(this.root);
    this.turns.afterTurn(null);
  }

  #born(took: number): void {
    this.#told = true;
    this.turns.out.started(this.number, took);
    this.touch();
  }

  // ---- Events. Called between turns; each runs now or when the gate opens.

  /** A message for a hibernatable socket. Owned. */
  message(end: End, data: Payload): void {
    if (this.root.open) {
      this.#arrived = (this.#arrived + 1) >>> 0;
      this.turns.pulse.turn(this.number);
      enterScope(eventScope(this));
      this.#runMessage(end, data);
      this.turns.drain();
      if (this.#finished !== this.#started) this.#lasts(this.#started);
      this.turns.afterTurn(this);
    } else {
      this.#arrive();
      this.turns.event(eventScope(this), () => {
        this.#runMessage(end, data);
        this.#lasts(this.#started);
      });
    }
  }

  /** Whether its next event would begin at once, and nothing of it waits. */
  get free(): boolean {
    return this.root.open && this.instance !== null && this.#arrived === this.#started;
  }

  /** As `message`, before what the host has said earlier: marked like an event that has waited. While it is free. */
  messageAhead(end: End, data: Payload): void {
    this.#home.begins(this, (this.#arrived + 1) >>> 0);
    this.message(end, data);
  }

  /** An event has come. */
  #arrive(): void {
    this.#arrived = (this.#arrived + 1) >>> 0;
    if (!this.root.open) this.touch(); // that it waits is to be told
  }

  #runMessage(end: End, data: Payload): void {
    const { instance } = this;
    if (instance === null) return;
    this.#begin();
    if (typeof instance["webSocketMessage"] !== "function") {
      this.#over(this.#started);
      return;
    }
    let result: unknown;
    try {
      result = (instance as unknown as Handlers).webSocketMessage(end.socket ?? socketOf(end), data);
    } catch (e) {
      this.#failed(e, this.#started);
      return;
    }
    this.#settle(result);
  }

  closed(end: End, code: number, reason: string, clean: boolean, ended: boolean): void {
    this.#arrive();
    this.turns.event(eventScope(this), () => {
      if (this.instance === null) return;
      end.closedIn = true;
      if (ended) end.dead = true;
      // The host has answered for us: web_socket_auto_reply_to_close.
      if (clean && ended && !end.closedOut) end.closedOut = end.replied = true;
      this.#last(end, "webSocketClose", [code, reason, clean]);
    });
  }

  errored(end: End, message: string): void {
    this.#arrive();
    this.turns.event(eventScope(this), () => {
      if (this.instance === null) return;
      end.failed = end.dead = true;
      this.#last(end, "webSocketError", [new Error(message)]);
    });
  }

  /** The last event of a socket: it is listed until the synchronous part of its handler has run. */
  #last(end: End, name: "webSocketClose" | "webSocketError", args: unknown[]): void {
    const instance = this.instance!;
    this.#begin();
    let result: unknown;
    let threw: { error: unknown } | null = null;
    try {
      if (typeof instance[name] === "function") {
        result = (instance as unknown as Handlers)[name](socketOf(end), ...args);
      }
    } catch (error) {
      threw = { error };
    }
    this.sockets.unlist(end);
    if (threw !== null) this.#failed(threw.error, this.#started);
    else this.#settle(result);
    this.#lasts(this.#started);
  }

  /** Runs an event of another kind; `work` must settle or throw. */
  run(work: () => unknown, scope = eventScope(this)): void {
    this.#arrive();
    this.turns.event(scope, () => {
      if (this.instance === null) return;
      this.#begin();
      let result: unknown;
      try {
        result = work();
      } catch (e) {
        this.#failed(e, this.#started);
        return;
      }
      this.#settle(result);
    });
  }

  /** Whether code of this guest may bring it an event past the host, which has bounds of its own for those beyond. */
  get reachable(): boolean {
    return this.#told && this.instance !== null && !this.#closedToDirect && this.#pastHost < ambient.config.limits.mailboxEvents;
  }

  /** From now on every event comes by way of the host. */
  closeToDirect(): void {
    this.#closedToDirect = true;
  }

  /**
   * An event of code of this guest's: a turn of its own when the gate lets it in, unless the object has left by then, or
   * `refused` if it has waited too long. `work` gets a number for the log, never throws, and settles when the event is over.
   */
  direct(work: (event: number) => Promise<void>, refused: () => void): void {
    const event = this.#direct.begin();
    this.touch();
    this.turns.soonBegin(this.scope, () => {
      if (this.instance === null) return;
      void work(event.number).then(() => {
        if (this.gone) return;
        this.#direct.end(event);
        this.touch();
      });
    }, () => {
      if (this.gone) return;
      this.#direct.drop();
      this.touch();
      refused();
    });
  }

  /** The number of the event that has begun last. */
  get event(): number {
    return this.#started;
  }

  /**
   * The time for which the index woke the object has come. The database says
   * whether an alarm is due; the answer is `done` or `failure`.
   */
  alarm(exchange: number, retryCount: number, limit: number): void {
    this.run(() => {
      const now = this.storage!.startAlarm(Date.now());
      if (now.due === null) {
        this.alarmMoved(now.next, true);
        this.#alarmDone(exchange);
        return undefined;
      }
      const handled = typeof this.instance!["alarm"] === "function";
      if (!handled) {
        log(this, level.warn, "Attempted to run a scheduled alarm without a handler, did you remember to export an alarm() function?");
      }
      if (!handled || retryCount > maxAlarmRetries) {
        this.storage!.finishAlarm(true);
        this.#alarmDone(exchange);
        return undefined;
      }
      const run = this.#runAlarm(exchange, now.due, retryCount);
      this.#limit(run, limit, "Alarm exceeded its allowed execution time");
      return run;
    });
  }

  async #runAlarm(exchange: number, scheduledTime: number, retryCount: number): Promise<void> {
    const instance = this.instance as unknown as { alarm(info: object): unknown };
    try {
      await instance.alarm({ isRetry: retryCount > 0, retryCount, scheduledTime });
      // A write of this turn: the answer is held behind it.
      this.storage?.finishAlarm(true);
      this.#alarmDone(exchange);
    } catch (e) {
      if (this.gone) return;
      // The last run has failed: the alarm is dropped.
      this.storage!.finishAlarm(retryCount >= maxAlarmRetries);
      this.touch();
      this.out.numberAndError(frame.failure, exchange, toWire(e, remote));
    }
  }

  #alarmDone(exchange: number): void {
    this.touch();
    this.out.number(frame.done, exchange);
  }

  /** The storage's alarm has moved; semantics of the two times: StorageHost. */
  alarmMoved(time: number | null, committed: boolean): void {
    this.touch();
    this.turns.out.setAlarm(this.number, time, committed);
  }

  /** The database had this alarm when it was opened. */
  alarmFound(time: number): void {
    this.touch();
    this.turns.out.foundAlarm(this.number, time);
  }

  /** Asks the host for a bookmark, behind everything that was committed. */
  askPast(what: number, time: number, bookmark: string): Promise<string> {
    this.touch();
    const question = this.#questions = (this.#questions + 1) >>> 0;
    this.turns.out.askPast(this.number, question, what, time, bookmark);
    return new Promise((resolve, reject) => {
      this.#asked.set(question, { scope: scopeOf(this), resolve, reject });
    });
  }

  past(question: number, ok: boolean, text: string): void {
    const asked = this.#asked.get(question);
    if (asked === undefined) throw new ProtocolError(`object ${this.number}: an answer that nobody has asked for`);
    this.#asked.delete(question);
    this.turns.later(asked.scope, () => {
      if (ok) asked.resolve(text);
      else asked.reject(new Error(text));
    });
  }

  #begin(): void {
    this.#started = (this.#started + 1) >>> 0;
    if (((this.#taken - this.#started) | 0) >= 0) this.#home.begins(this, this.#started);
    if (!this.touched) this.turns.touch(this);
  }

  #settle(result: unknown): void {
    const event = this.#started;
    if (!isThenable(result)) {
      this.#over(event);
      return;
    }
    const promise = Promise.resolve(result);
    if (this.eventTimeout > 0) this.#limit(promise, this.eventTimeout, "Actor exceeded event execution time and was disconnected.");
    promise.then(
      () => this.#over(event),
      (error: unknown) => this.#failed(error, event),
    );
  }

  #over(event: number): void {
    this.#finished = (this.#finished + 1) >>> 0;
    this.#lastOver = event;
    if (!this.touched) this.turns.touch(this);
    if (this.#lasting === null) return;
    if (this.#lasting.get(event) === true && !this.gone) this.turns.out.twoNumbers(frame.over, this.number, event);
    this.#lasting.delete(event);
  }

  #failed(error: unknown, event: number): void {
    this.#over(event);
    this.uncaught(error, event);
  }

  /** An event of a socket, the last that has begun: if its handler goes on, the host is told when the batch ends. */
  #lasts(event: number): void {
    if (this.#lastOver === event || this.gone) return;
    this.#lasting ??= new Map();
    this.#lasting.set(event, false);
    this.#untold.push(event);
  }

  #tellLasting(out: Outlet): void {
    for (const event of this.#untold) {
      if (this.#lasting?.get(event) !== false) continue;
      this.#lasting.set(event, true);
      out.twoNumbers(frame.lasting, this.number, event);
    }
    this.#untold = [];
  }

  /** Semantics 2.6 and 5.5: an event that takes longer costs the instance its life. */
  #limit(promise: Promise<unknown>, time: number, text: string): void {
    const timer = nativeSetTimeout(() => {
      if (this.gone) return;
      this.turns.begin();
      const error = flagged(text, durableObjectReset);
      this.die(toWire(error, 0), dropSockets);
      this.turns.finish();
    }, time);
    const stop = () => nativeClearTimeout(timer);
    promise.then(stop, stop);
  }

  uncaught(error: unknown, event?: number): void {
    if (!this.gone) logError(this, "Uncaught", error, event);
  }

  // ---- Commits: what storage tells

  /** An implicit transaction has begun: outputs from here on wait for its commit. */
  dirty(): void {
    if (!this.gone) this.#outputs.dirty();
  }

  /** The transaction is in the WAL. */
  committed(unconfirmed: boolean): void {
    if (!this.gone) this.#outputs.committed(unconfirmed);
  }

  commitTurn(): void {
    if (this.gone) return;
    try {
      this.storage?.commitTurn();
    } catch (e) {
      this.broken(e);
    }
    // Nothing was written in the end: nothing to wait for.
    this.#outputs.release();
  }

  /** The storage cannot go on: the instance is reset. */
  broken(error: unknown): void {
    this.die(toWire(error, durableObjectReset | remote), dropSockets);
  }

  /** Says an output that does not pass the host: now, or when all that was written before it is durable. It is lost with the instance. */
  output(say: () => void): boolean {
    return this.#outputs.say(say);
  }

  whenDurable(unconfirmedToo = false): Promise<void> | null {
    return this.#outputs.whenDurable(unconfirmedToo);
  }

  durable(commit: number): void {
    this.#outputs.durable(commit);
  }

  /** What is in progress past the host. An event is not over before its outputs have left. */
  get #pastHost(): number {
    return this.#direct.running + this.#outputs.waiting;
  }

  get eventsInProgress(): number {
    return ((this.#started - this.#finished) >>> 0) + this.#pastHost;
  }

  get settled(): boolean {
    return this.#outputs.settled;
  }

  /** Whether an event is in progress or a task is pending. */
  get busy(): boolean {
    return !this.#told || this.eventsInProgress > 0 || this.tasks.count > 0 || this.#outputs.holding || !this.root.open;
  }

  // ---- Death

  tellProgress(out: Outlet): void {
    if (this.gone) return;
    if (this.#untold.length > 0) this.#tellLasting(out);
    this.#taken = this.#arrived;
    this.#direct.tell(this.number, out);
    out.progress(this.number, this.#started, this.#finished, this.tasks.count + this.#pastHost);
  }

  /** The host would like it to leave. Whether it did. Between turns only. */
  hibernate(delivered: number, how: number): boolean {
    if (how === mode.now || how === mode.ifQuiet) this.farewell = updated;
    if (how === mode.now) {
      this.tellProgress(this.turns.out); // what has not begun by now is lost, and reported
    } else {
      if (how === mode.ifQuiet) this.#closedToDirect = true;
      const quiet = this.#told && this.#finished === delivered && this.#pastHost === 0 && !this.#outputs.holding && this.root.open;
      if (!quiet || (how === mode.ifIdle && this.tasks.count > 0)) return false;
      if (how === mode.evict && this.tasks.outbound) return false;
    }
    for (const end of this.standard) {
      if (!end.closedOut && !end.dead) {
        if (end.local) end.peer?.sink?.closed(1012, "", true);
        else this.turns.out.close(end.id, 1012, "");
      }
      ambient.sockets.release(end);
    }
    this.sockets.releaseHalf();
    this.#leave(null);
    return true;
  }

  /** The instance ends with `error`: everything in progress fails with it. */
  die(error: WireError, flags: number): void {
    if (this.gone) return;
    const { out } = this.turns;
    this.tellProgress(out); // what has begun is not said again
    if (this.#told || (flags & ranAway) !== 0) out.aborted(this.number, error, flags);
    else out.numberAndError(frame.startFailed, this.number, error);
    this.#leave(error);
    ambient.worker.touch();
  }

  /** As `die`, from the author's own stack, which is thrown away. */
  abort(error: WireError, flags: number): never {
    if ((flags & noAlarmRetry) !== 0) this.#forgetAlarm();
    this.die(error, flags);
    return this.#home.cut();
  }

  /** The alarm whose handler runs is not to come again: the one thing that an abort commits. */
  #forgetAlarm(): void {
    if (this.gone || this.storage === null) return;
    this.storage.rollbackTurn();
    this.#outputs.forget();
    this.storage.dropAlarm();
    this.storage.commitTurn();
  }

  /** Told to: the host knows already. */
  reset(error: WireError): void {
    this.tellProgress(this.turns.out);
    this.#leave(error);
  }

  #leave(reason: WireError | null): void {
    this.gone = true;
    this.reason = reason;
    if (reason !== null) this.farewell = reason;
    ambient.exchanges.ownerGone(this);
    ambient.rpc.ownerGone(this);
    this.#outputs.close();
    this.storage?.close();
    clearTimers(this);
    this.closePorts();
    this.tasks.clear();
    this.root.clear();
    this.#lasting = null;
    this.#untold = [];
    for (const end of [...this.sockets.take(), ...this.standard]) {
      end.dead = true;
      end.sink?.gone?.();
      end.sink = null;
      end.socket = null;
      ambient.sockets.forget(end);
    }
    this.standard.clear();
    this.instance = null;
    this.state = null;
    this.storage = null;
    this.#home.gone(this);
  }
}

interface Handlers {
  webSocketMessage(ws: unknown, data: Payload): unknown;
  webSocketClose(ws: unknown, ...args: unknown[]): unknown;
  webSocketError(ws: unknown, ...args: unknown[]): unknown;
}

function isThenable(x: unknown): boolean {
  return typeof x === "object" && x !== null && typeof (x as { then?: unknown }).then === "function";
}
