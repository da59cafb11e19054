/*
 * Guest is this process as the host sees it: it takes the frames of a batch one
 * by one and hands each to whom it concerns.
 */

import inspector from "node:inspector";
import { introduce } from "./ambient.ts";
import { ahead, Channel, type Offered, type Receiver } from "./channel.ts";
import { type Config, parseConfig } from "./config.ts";
import { Cutter } from "./cut.ts";
import { Databases } from "./databases.ts";
import { Residents } from "./direct.ts";
import { End, type Payload } from "./end.ts";
import { type Env, makeEnv } from "./env.ts";
import { durableObjectReset, noFetch, readError, remote, resetText, toWire } from "./errors.ts";
import { Exchanges, type HostExchange } from "./exchange.ts";
import { type Birth, type Class, GuestObject, type Home } from "./object.ts";
import { Housekeeping } from "./housekeeping.ts";
import { Marks } from "./marks.ts";
import { nativeSetTimeout } from "./native.ts";
import { operate, operatorEntrypoint } from "./operator.ts";
import { Outlet } from "./outlet.ts";
import { word } from "./pulse.ts";
import { report } from "./report.ts";
import { Sessions } from "./rpc/sessions.ts";
import { Scope, Invocation } from "./scope.ts";
import { announce, forget } from "./trace.ts";
import { Sockets } from "./sockets.ts";
import type { ObjectStorage } from "./storage/index.ts";
import { Runaways } from "./runaway.ts";
import { answerTest, installClock, setClock, testEntrypoint } from "./testing.ts";
import { Turns } from "./turn.ts";
import { frame, magic, ProtocolError, type Reader, textKind, version } from "./wire.ts";
import { type Module, run, Worker, WorkerOwner } from "./worker.ts";

/** What the process around a guest does. */
export interface Surroundings {
  readonly fd: number;
  /** Prepares what author code will see, and loads its module. */
  load(config: Config, env: Env, exports: Module): Promise<Module>;
  /** The module of the second thread. */
  readonly sideThread: URL;
  versions(): { node: string; sqlite: string; pid: number };
  /** Ends the process; a reason means that something is wrong. Never returns. */
  exit(reason: string): never;
}

export class Guest implements Receiver, Home {
  readonly #around: Surroundings;
  readonly #out = new Outlet(64 << 10);
  readonly #channel: Channel;
  readonly #turns: Turns;
  readonly #exchanges = new Exchanges();
  readonly #rpc = new Sessions();
  readonly #residents = new Residents();
  readonly #cutter: Cutter;
  readonly #runaways: Runaways;
  #sockets!: Sockets;
  #worker: Worker | null = null;
  #owner!: WorkerOwner;
  #databases!: Databases;
  #housekeeping!: Housekeeping;
  #marks: Marks | null = null;
  #alarmLimit = 0;

  #greeted = false;
  #wasCut = false;
  #leaving = false; // shutdown was asked for
  // Of the request, and of the session, in the next frame.
  #props: Uint8Array | null = null;
  #foreign = false;

  readonly #objects = new Map<number, GuestObject>();
  /** Activations whose table of sockets has not come whole: rows that are missing. */
  readonly #incomplete = new Map<GuestObject, number>();

  constructor(around: Surroundings) {
    this.#around = around;
    this.#turns = new Turns(this.#out, {
      write: () => {
        this.#databases.report(this.#out);
        this.#channel.write(this.#out);
      },
      afterCut: () => {
        Cutter.after();
        this.#runaways.end();
      },
      bounced: () => this.#bounced(),
      finished: () => {
        if (this.#leaving) this.#maybeLeave();
      },
      fatal: (e) => this.lost(`internal error: ${(e as Error).stack}`),
    });
    this.#channel = new Channel(around.fd, this);
    this.#cutter = new Cutter(() => {
      this.#wasCut = true;
      this.#channel.cut();
      this.#turns.cut();
    });
    this.#runaways = new Runaways(this.#turns, this.#cutter);
  }

  // ---- What the channel calls

  frame(type: number, r: Reader): void {
    if (type === frame.message) {
      this.#message(r);
      return;
    }
    if (!this.#greeted) {
      if (type !== frame.hello) throw new ProtocolError(`frame 0x${type.toString(16)} before hello`);
      this.#hello(r);
      return;
    }
    if (this.#worker === null) throw new ProtocolError(`frame 0x${type.toString(16)} before ready`);
    this.#control(type, r);
    if (type !== frame.trace && type !== frame.props && type !== frame.foreign) forget();
  }

  batchBegin(): void {
    this.#turns.begin();
  }

  runEnd(): void {
    this.#turns.flush();
  }

  get due(): boolean {
    return this.#turns.due;
  }

  batchPause(): void {
    this.#turns.pause();
  }

  batchResume(): void {
    this.#turns.resume();
  }

  aheadBegin(): void {
    this.#turns.pace.letFirst();
  }

  ahead(r: Reader, number: number, handled: number): Offered {
    const end = this.#sockets.get(r.u64());
    const owner = end?.owner;
    if (end === undefined || owner === null || owner === undefined) return ahead.passed;
    if (owner.passedOver <= handled && end.mode === "hibernatable" && this.#mayGoFirst(owner as GuestObject)) {
      if (!this.#turns.pace.spare) return ahead.stop;
      (owner as GuestObject).messageAhead(end, payload(r));
      return ahead.done;
    }
    owner.passedOver = number;
    return ahead.passed;
  }

  #mayGoFirst(o: GuestObject): boolean {
    return this.#turns.pace.quick(o.typical) && o.free && (this.#marks === null || this.#marks.mayGoFirst(o.number));
  }

  aheadEnd(): void {
    this.#turns.pace.goOn();
  }

  batchEnd(): void {
    this.#turns.finish();
  }

  lost(reason: string): void {
    this.#around.exit(reason);
  }

  /** A macrotask that Turns asked for. */
  #bounced(): void {
    if (this.#wasCut) {
      this.#wasCut = false;
      this.#channel.resume();
      return;
    }
    this.#turns.begin();
    this.#turns.finish();
  }

  // ---- Frames

  #message(r: Reader): void {
    const end = this.#sockets.get(r.u64());
    if (end === undefined) {
      forget();
      return; // It crossed with our own last word about that socket.
    }
    const data = payload(r);
    if (end.mode === "hibernatable") (end.owner as GuestObject).message(end, data);
    else end.sink?.message(data);
  }

  #control(type: number, r: Reader): void {
    switch (type) {
      case frame.inspect:
        this.#inspect(r.u8() === 1);
        r.done();
        break;
      case frame.trace:
        announce(r.restText());
        break;
      case frame.props:
        this.#props = r.restKept();
        break;
      case frame.foreign:
        r.done();
        this.#foreign = true;
        break;
      case frame.database:
        this.#databases.given(r.u32(), r.restText());
        break;
      case frame.checkpoint: {
        const number = r.u32();
        const what = r.u8();
        r.done();
        this.#databases.checkpoint(number, what);
        break;
      }
      case frame.closeDatabase:
        this.#databases.close(r.u32());
        r.done();
        break;
      case frame.start:
        this.#start(r);
        break;
      case frame.sockets:
        this.#rows(r);
        break;
      case frame.closed:
        this.#closed(r);
        break;
      case frame.errored: {
        const end = this.#sockets.get(r.u64());
        const message = r.restText();
        if (end === undefined) break;
        if (end.mode === "hibernatable") (end.owner as GuestObject).errored(end, message);
        else end.sink?.errored(message);
        break;
      }
      case frame.hostRequest:
        this.#request(r);
        break;
      case frame.hibernate:
        this.#hibernate(r);
        break;
      case frame.reset: {
        const o = this.#objects.get(r.u32());
        const error = readError(r);
        if (o === undefined) break;
        o.reset(error);
        this.#out.number(frame.asleep, o.number);
        break;
      }
      case frame.alarm:
        this.#alarm(r);
        break;
      case frame.durable:
        this.#objects.get(r.u32())?.durable(r.u32());
        break;
      case frame.past: {
        const o = this.#objects.get(r.u32());
        const question = r.u32();
        const ok = r.u8() === 1;
        o?.past(question, ok, r.restText());
        break;
      }
      case frame.why:
        this.#why(r);
        break;
      case frame.stamps: {
        const n = r.u32();
        for (let i = 0; i < n; i++) {
          const end = this.#sockets.get(r.u64());
          const time = r.f64();
          if (end !== undefined) end.stamp = time;
        }
        break;
      }
      case frame.buffered: {
        const end = this.#sockets.get(r.u64());
        const bytes = r.u32();
        if (end !== undefined) {
          end.waiting = bytes;
          end.sink?.buffered?.(bytes);
        }
        break;
      }
      case frame.clock:
        setClock(r.f64());
        r.done();
        break;
      case frame.shutdown:
        this.#shutdown(r.u32());
        break;
      case frame.response:
      case frame.body:
      case frame.bodyEnd:
      case frame.bodyAbort:
      case frame.credit:
      case frame.cancel:
      case frame.failure:
        this.#exchanges.frame(type, r);
        break;
      case frame.rpcBegin:
        this.#begin(r);
        break;
      case frame.rpcMessage:
      case frame.rpcClose:
      case frame.rpcCredit:
      case frame.rpcFailure:
        this.#rpc.frame(type, r);
        break;
      default:
        throw new ProtocolError(`unknown frame 0x${type.toString(16)}`);
    }
  }

  #hello(r: Reader): void {
    if (r.u32() !== magic) throw new ProtocolError("hello without its magic number");
    const theirs = r.u16();
    if (theirs !== version) throw new ProtocolError(`the host speaks version ${theirs} of the guest protocol, this guest ${version}`);
    const incarnation = r.u32();
    const config = parseConfig(r.restText());
    if (config.marks) {
      this.#channel.keepMarks();
      this.#marks = new Marks();
    }
    this.#greeted = true;
    this.#sockets = new Sockets(incarnation);
    this.#owner = new WorkerOwner(0, this.#turns, this.#out);
    introduce({ config, turns: this.#turns, sockets: this.#sockets, exchanges: this.#exchanges, rpc: this.#rpc, residents: this.#residents, channel: this.#channel, worker: this.#owner });
    this.#databases = new Databases(config, this.#turns, this.#around.sideThread, this.#runaways.watch(config, () => this.#objects.size > 0 || this.#exchanges.size > 0 || this.#rpc.size > 0), (e) => this.#around.exit(e.message));
    this.#housekeeping = new Housekeeping(this.#objects, config.limits.taskKeepalive);
    this.#alarmLimit = config.limits.alarm;
    if (config.testing) installClock();
    const env = makeEnv(config);
    const exports: Module = {};
    this.#around
      .load(config, env, exports)
      .then((module) => this.#loaded(new Worker(module, config, env, exports)))
      .catch((e: unknown) => this.#unfit(e));
  }

  #loaded(worker: Worker): void {
    this.#worker = worker;
    this.#out.ready(version, JSON.stringify({ ...this.#around.versions(), ...worker.describe() }));
    this.#channel.write(this.#out);
  }

  #unfit(error: unknown): void {
    this.#out.unfit(toWire(error, 0));
    this.#channel.write(this.#out);
    this.#channel.end(() => this.#around.exit(""));
  }

  #start(r: Reader): void {
    const number = r.u32();
    const classIndex = r.u16();
    const id = r.id();
    const hasName = r.u8() !== 0;
    const name = r.str();
    const hasPair = r.u8() !== 0;
    const request = r.str();
    const response = r.str();
    const eventTimeout = r.u32();
    const rows = r.u32();
    r.done();
    if (this.#objects.has(number)) throw new ProtocolError(`object ${number} started twice`);
    const birth: Birth = {
      number,
      classIndex,
      id,
      name: hasName ? name : undefined,
      pair: hasPair ? { request, response } : null,
      eventTimeout,
    };
    const o = new GuestObject(birth, this, this.#turns);
    this.#objects.set(number, o);
    this.#residents.came(o);
    this.#housekeeping.came();
    if (rows === 0) o.construct();
    else this.#incomplete.set(o, rows);
  }

  #rows(r: Reader): void {
    const o = this.#objects.get(r.u32());
    const missing = o === undefined ? undefined : this.#incomplete.get(o);
    if (o === undefined || missing === undefined) return; // Reset while its table was on the way.
    const n = r.u16();
    if (n > missing) throw new ProtocolError(`${n - missing} sockets too many for object ${o.number}`);
    for (let i = 0; i < n; i++) o.sockets.restore(readRow(r));
    r.done();
    if (n < missing) {
      this.#incomplete.set(o, missing - n);
      return;
    }
    this.#incomplete.delete(o);
    o.construct();
  }

  #closed(r: Reader): void {
    const end = this.#sockets.get(r.u64());
    const code = r.u16();
    const flags = r.u8();
    const reason = r.restText();
    if (end === undefined) return;
    const clean = (flags & 1) !== 0;
    const ended = (flags & 2) !== 0;
    if (end.mode === "hibernatable") (end.owner as GuestObject).closed(end, code, reason, clean, ended);
    else end.sink?.closed(code, reason, clean);
  }

  #request(r: Reader): void {
    const exchange = r.u32();
    const number = r.u32();
    if (number === 0) {
      const props = this.#props;
      this.#props = null;
      this.#exchanges.hostRequest(exchange, this.#owner, r, (x) => {
        x.props = props;
        const invocation = new Invocation();
        x.onClosed = () => invocation.release();
        this.#turns.event(new Scope(this.#owner, this.#owner.root, invocation, x.trace), () => {
          if (x.entrypoint === testEntrypoint) void run(x, () => answerTest(x.request, { worker: this.#worker! }));
          else this.#worker!.fetch(x);
        });
      });
      return;
    }
    const o = this.#objects.get(number);
    if (o === undefined) {
      this.#fail(exchange);
      return;
    }
    this.#exchanges.hostRequest(exchange, o, r, (x: HostExchange) => {
      announce(x.trace);
      o.run(() => {
        x.event = o.event;
        return run(x, () => {
          if (x.entrypoint === operatorEntrypoint) return operate(o.storage!, x.request);
          if (x.entrypoint === testEntrypoint) return answerTest(x.request, { object: o });
          const instance = o.instance!;
          if (typeof instance["fetch"] !== "function") throw noFetch();
          return (instance as { fetch(r: unknown): unknown }).fetch(x.request);
        });
      });
    });
  }

  /** An RPC session with an object, or with an entrypoint of the Worker. */
  #begin(r: Reader): void {
    const session = r.u32();
    const number = r.u32();
    const entrypoint = r.str();
    const props = r.bytes();
    const foreign = this.#foreign;
    this.#foreign = false;
    if (number === 0) {
      this.#rpc.beginWorker(session, this.#owner, this.#worker!, entrypoint, props, r, foreign);
      return;
    }
    const o = this.#objects.get(number);
    if (o === undefined) this.#rpc.refuse(session);
    else this.#rpc.beginObject(session, o, r, foreign);
  }

  /** Lets DevTools in, on loopback, or no longer. */
  #inspect(on: boolean): void {
    Atomics.store(this.#turns.pulse.words, word.inspected, on ? 1 : 0);
    try {
      if (!on) inspector.close();
      else if (inspector.url() === undefined) inspector.open(0, "127.0.0.1");
      this.#out.inspecting(on ? (inspector.url() ?? "") : "", "");
    } catch (e) {
      this.#out.inspecting("", `${(e as Error).message}`);
    }
  }

  #alarm(r: Reader): void {
    const exchange = r.u32();
    const o = this.#objects.get(r.u32());
    r.f64(); // The database knows the time better than the index.
    const retries = r.u8();
    r.done();
    if (o === undefined) {
      this.#fail(exchange);
      return;
    }
    o.alarm(exchange, retries, this.#alarmLimit);
  }

  /** For an object that has left: the question and its end crossed. */
  #fail(exchange: number): void {
    this.#out.numberAndError(frame.failure, exchange, toWire(new Error(resetText), remote | durableObjectReset));
  }

  #hibernate(r: Reader): void {
    const number = r.u32();
    const delivered = r.u32();
    const how = r.u8();
    r.done();
    const o = this.#objects.get(number);
    if (o === undefined) return; // It has ended itself, and said so.
    this.#out.number(o.hibernate(delivered, how) ? frame.asleep : frame.awake, number);
  }

  #why(r: Reader): void {
    const query = r.u32();
    const o = this.#objects.get(r.u32());
    r.done();
    this.#out.numberAndText(frame.report, query, JSON.stringify(o === undefined ? [] : report(o)));
  }

  #shutdown(deadline: number): void {
    this.#leaving = true;
    // Whatever has not finished by then ends with the process.
    nativeSetTimeout(() => this.#channel.end(() => this.#around.exit("")), deadline);
  }

  #maybeLeave(): void {
    for (const o of this.#objects.values()) if (o.busy) return;
    if (this.#exchanges.size > 0 || this.#rpc.size > 0) return;
    this.#leaving = false;
    this.#channel.end(() => this.#around.exit(""));
  }

  // ---- What its objects call

  get exports(): unknown {
    return this.#worker!.exports;
  }

  get env(): unknown {
    return this.#worker!.env;
  }

  construct(classIndex: number): Class {
    return this.#worker!.classAt(classIndex);
  }

  openStorage(o: GuestObject): ObjectStorage {
    return this.#databases.open(o);
  }

  begins(o: GuestObject, event: number): void {
    this.#marks?.begun(o.number, event);
  }

  gone(o: GuestObject): void {
    this.#objects.delete(o.number);
    this.#residents.left(o);
    this.#incomplete.delete(o);
    this.#databases.left(o);
    this.#marks?.left(o.number);
    this.#housekeeping.left();
  }

  cut(): never {
    return this.#cutter.cut();
  }
}

/** What a `message` says, behind its socket. Owned. */
function payload(r: Reader): Payload {
  return r.u8() === textKind ? r.restText() : r.restArrayBuffer();
}

function readRow(r: Reader): End {
  const end = new End(r.u64());
  const flags = r.u8();
  end.closedOut = (flags & 1) !== 0;
  end.closedIn = (flags & 2) !== 0;
  end.stamp = r.f64();
  const tags: string[] = [];
  for (let n = r.u8(); n > 0; n--) tags.push(r.str());
  end.tags = tags;
  end.protocol = r.str();
  end.extensions = r.str();
  const has = r.u8() !== 0;
  const attachment = r.bytes();
  end.attachment = has ? attachment : null;
  return end;
}
