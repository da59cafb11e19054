/*
 * The host's side of the protocol, for tests: every frame that a host sends, and
 * every frame that a guest sends as a plain object.
 */

import { type WireError, readError, writeError } from "../../src/errors.ts";
import { binaryKind, frame, magic, Reader, textKind, version, Writer } from "../../src/wire.ts";

export interface Row {
  socket: number;
  weClosed?: boolean;
  peerClosed?: boolean;
  stamp?: number;
  tags?: string[];
  protocol?: string;
  extensions?: string;
  attachment?: Uint8Array | null;
}

/** Frames from the host, one after another, in one buffer. Databases lie in the folder `data`, or nowhere. */
export class HostFrames extends Writer {
  readonly #data: string;

  constructor(data = "") {
    super(4096);
    this.#data = data;
  }

  take(): Buffer {
    const bytes = Buffer.from(this.buffer.subarray(0, this.at));
    this.clear();
    return bytes;
  }

  #frame(type: number, body: () => void): this {
    const start = this.begin(type, 0);
    body();
    this.end(start);
    return this;
  }

  hello(incarnation: number, config: unknown, v = version, m = magic): this {
    return this.#frame(frame.hello, () => {
      this.u32(m);
      this.u16(v);
      this.u32(incarnation);
      this.text(typeof config === "string" ? config : JSON.stringify(config));
    });
  }

  start(o: { object: number; classIndex?: number; id?: string; name?: string; pair?: [string, string]; eventTimeout?: number; sockets?: number }): this {
    if (this.#data !== "") this.database(o.object, databasePath(this.#data, o.id ?? anyId));
    return this.#frame(frame.start, () => {
      this.u32(o.object);
      this.u16(o.classIndex ?? 0);
      this.id(o.id ?? anyId);
      this.u8(o.name === undefined ? 0 : 1);
      this.str(o.name ?? "");
      this.u8(o.pair === undefined ? 0 : 1);
      this.str(o.pair?.[0] ?? "");
      this.str(o.pair?.[1] ?? "");
      this.u32(o.eventTimeout ?? 0);
      this.u32(o.sockets ?? 0);
    });
  }

  database(object: number, path: string): this {
    return this.#numberAndText(frame.database, object, path);
  }

  checkpoint(object: number, step: number): this {
    return this.#frame(frame.checkpoint, () => {
      this.u32(object);
      this.u8(step);
    });
  }

  closeDatabase(object: number): this {
    return this.#frame(frame.closeDatabase, () => this.u32(object));
  }

  sockets(object: number, rows: Row[]): this {
    return this.#frame(frame.sockets, () => {
      this.u32(object);
      this.u16(rows.length);
      for (const row of rows) {
        this.u64(row.socket);
        this.u8((row.weClosed ? 1 : 0) | (row.peerClosed ? 2 : 0));
        this.f64(row.stamp ?? 0);
        this.u8(row.tags?.length ?? 0);
        for (const tag of row.tags ?? []) this.str(tag);
        this.str(row.protocol ?? "");
        this.str(row.extensions ?? "");
        this.u8(row.attachment == null ? 0 : 1);
        this.bytes(row.attachment ?? new Uint8Array(0));
      }
    });
  }

  message(socket: number, data: string | Uint8Array): this {
    return this.#frame(frame.message, () => {
      this.u64(socket);
      this.u8(typeof data === "string" ? textKind : binaryKind);
      if (typeof data === "string") this.text(data);
      else this.raw(data);
    });
  }

  closed(socket: number, code: number, reason: string, clean = true, ended = false): this {
    return this.#frame(frame.closed, () => {
      this.u64(socket);
      this.u16(code);
      this.u8((clean ? 1 : 0) | (ended ? 2 : 0));
      this.text(reason);
    });
  }

  errored(socket: number, message: string): this {
    return this.#frame(frame.errored, () => {
      this.u64(socket);
      this.text(message);
    });
  }

  request(r: {
    exchange: number;
    object?: number;
    body?: boolean;
    method?: string;
    url?: string;
    headers?: [string, string][];
    cf?: string;
    entrypoint?: string;
  }): this {
    return this.#frame(frame.hostRequest, () => {
      this.u32(r.exchange);
      this.u32(r.object ?? 0);
      this.u8(r.body ? 1 : 0);
      this.str(r.method ?? "GET");
      this.str(r.url ?? "http://example.com/");
      this.headers(r.headers ?? []);
      this.str(r.cf ?? "");
      this.str(r.entrypoint ?? "");
    });
  }

  response(r: { exchange: number; status?: number; statusText?: string; headers?: [string, string][]; body?: boolean; socket?: number }): this {
    return this.#frame(frame.response, () => {
      this.u32(r.exchange);
      this.u16(r.status ?? 200);
      this.str(r.statusText ?? "");
      this.u8((r.body ? 1 : 0) | (r.socket === undefined ? 0 : 2));
      this.headers(r.headers ?? []);
      this.u64(r.socket ?? 0);
    });
  }

  body(exchange: number, data: string | Uint8Array): this {
    return this.#frame(frame.body, () => {
      this.u32(exchange);
      if (typeof data === "string") this.text(data);
      else this.raw(data);
    });
  }

  bodyEnd(exchange: number): this {
    return this.#frame(frame.bodyEnd, () => this.u32(exchange));
  }

  #numberAndText(type: number, n: number, text: string): this {
    return this.#frame(type, () => {
      this.u32(n);
      this.text(text);
    });
  }

  bodyAbort(exchange: number, reason: string): this {
    return this.#numberAndText(frame.bodyAbort, exchange, reason);
  }

  credit(exchange: number, n: number): this {
    return this.#frame(frame.credit, () => {
      this.u32(exchange);
      this.u32(n);
    });
  }

  cancel(exchange: number, reason: string): this {
    return this.#numberAndText(frame.cancel, exchange, reason);
  }

  failure(exchange: number, e: Partial<WireError>): this {
    return this.#frame(frame.failure, () => {
      this.u32(exchange);
      writeError(this, { flags: 0, name: "Error", message: "", stack: "", extra: null, ...e });
    });
  }

  /** `first` is a message of the session. */
  rpcBegin(session: number, object: number, first: Uint8Array, entrypoint = "", props: Uint8Array = new Uint8Array(0)): this {
    return this.#frame(frame.rpcBegin, () => {
      this.u32(session);
      this.u32(object);
      this.str(entrypoint);
      this.bytes(props);
      this.raw(first);
    });
  }

  foreign(): this {
    return this.#frame(frame.foreign, () => {});
  }

  rpcMessage(session: number, message: Uint8Array): this {
    return this.#frame(frame.rpcMessage, () => {
      this.u32(session);
      this.raw(message);
    });
  }

  rpcClose(session: number, last: Uint8Array = new Uint8Array(0)): this {
    return this.#frame(frame.rpcClose, () => {
      this.u32(session);
      this.raw(last);
    });
  }

  rpcCredit(session: number, bytes: number): this {
    return this.#frame(frame.rpcCredit, () => {
      this.u32(session);
      this.u32(bytes);
    });
  }

  rpcFailure(session: number, e: Partial<WireError>): this {
    return this.#frame(frame.rpcFailure, () => {
      this.u32(session);
      writeError(this, { flags: 0, name: "Error", message: "", stack: "", extra: null, ...e });
    });
  }

  hibernate(object: number, delivered: number, mode = 0): this {
    return this.#frame(frame.hibernate, () => {
      this.u32(object);
      this.u32(delivered);
      this.u8(mode);
    });
  }

  reset(object: number, e: Partial<WireError>): this {
    return this.#frame(frame.reset, () => {
      this.u32(object);
      writeError(this, { flags: 0, name: "Error", message: "", stack: "", extra: null, ...e });
    });
  }

  alarm(exchange: number, object: number, time: number, retries = 0): this {
    return this.#frame(frame.alarm, () => {
      this.u32(exchange);
      this.u32(object);
      this.f64(time);
      this.u8(retries);
    });
  }

  durable(object: number, commit: number): this {
    return this.#frame(frame.durable, () => {
      this.u32(object);
      this.u32(commit);
    });
  }

  why(query: number, object: number): this {
    return this.#frame(frame.why, () => {
      this.u32(query);
      this.u32(object);
    });
  }

  stamps(list: [number, number][]): this {
    return this.#frame(frame.stamps, () => {
      this.u32(list.length);
      for (const [socket, time] of list) {
        this.u64(socket);
        this.f64(time);
      }
    });
  }

  buffered(socket: number, bytes: number): this {
    return this.#frame(frame.buffered, () => {
      this.u64(socket);
      this.u32(bytes);
    });
  }

  shutdown(deadline: number): this {
    return this.#frame(frame.shutdown, () => this.u32(deadline));
  }
}

/** The id of an object in tests that need only one. */
export const anyId = "ab".repeat(32);

export function databasePath(data: string, id = anyId): string {
  return `${data}/${id.slice(0, 2)}/${id}.sqlite`;
}

/** What a guest said. */
export type Said =
  | { type: "ready"; version: number; json: Record<string, unknown> }
  | { type: "unfit"; error: WireError }
  | { type: "started"; object: number; took: number }
  | { type: "startFailed"; object: number; error: WireError }
  | { type: "progress"; object: number; started: number; finished: number; tasks: number }
  | { type: "send"; socket: number; data: string | Buffer }
  | { type: "broadcast"; sockets: number[]; data: string | Buffer }
  | { type: "close"; socket: number; code: number; reason: string }
  | { type: "accept"; object: number; socket: number; tags: string[] }
  | { type: "attachment"; socket: number; value: Buffer | null }
  | { type: "autoResponse"; object: number; pair: [string, string] | null }
  | { type: "eventTimeout"; object: number; ms: number }
  | { type: "open"; socket: number; object: number }
  | { type: "release"; socket: number }
  | { type: "commit"; object: number; number: number; unconfirmed: boolean }
  | { type: "awaitDurable"; object: number; commit: number }
  | { type: "setAlarm"; object: number; time: number | null; committed: boolean }
  | { type: "foundAlarm"; object: number; time: number }
  | { type: "lasting" | "over"; object: number; event: number }
  | { type: "askPast"; object: number; question: number; what: number; time: number; bookmark: string }
  | { type: "waited"; object: number; us: number }
  | { type: "inspecting"; url: string; failure: string }
  | { type: "traced"; context: string }
  | { type: "blame"; object: number; event: number }
  | { type: "cause"; session: boolean; number: number }
  | { type: "direct"; object: number; events: number; us: number }
  | { type: "directCause"; object: number; event: number }
  | { type: "log"; object: number; level: number; time: number; text: string }
  | { type: "aborted"; object: number; error: WireError; flags: number }
  | { type: "asleep"; object: number }
  | { type: "awake"; object: number }
  | { type: "report"; query: number; reasons: { kind: string; since: number; detail: string; stack: string }[] }
  | { type: "snapshotHeld"; object: number }
  | { type: "checkpointed"; object: number; frames: number }
  | { type: "databaseClosed"; object: number }
  | { type: "done"; exchange: number }
  | {
      type: "request"; exchange: number; from: number; target: number; index: number; id: string; name: string | null;
      hasBody: boolean; method: string; url: string; headers: [string, string][]; cf: string; entrypoint: string;
    }
  | { type: "response"; exchange: number; status: number; statusText: string; flags: number; headers: [string, string][]; socket: number }
  | { type: "body"; exchange: number; data: Buffer }
  | { type: "bodyEnd"; exchange: number }
  | { type: "bodyAbort"; exchange: number; reason: string }
  | { type: "credit"; exchange: number; bytes: number }
  | { type: "cancel"; exchange: number; reason: string }
  | { type: "failure"; exchange: number; error: WireError }
  | { type: "rpcOpen"; session: number; from: number; target: number; index: number; id: string; name: string | null; entrypoint: string; props: Buffer; first: Buffer }
  | { type: "rpcMessage"; session: number; message: Buffer }
  | { type: "rpcClose"; session: number; message: Buffer }
  | { type: "rpcCredit"; session: number; bytes: number }
  | { type: "rpcFailure"; session: number; error: WireError };

function payload(r: Reader): string | Buffer {
  return r.u8() === textKind ? r.restText() : r.restBytes();
}

/** Decodes one frame of a guest, `bytes` being its body. */
export function decode(type: number, bytes: Buffer): Said {
  const r = new Reader();
  r.reset(bytes, 0, bytes.length);
  const said = read(type, r);
  r.done();
  return said;
}

function read(type: number, r: Reader): Said {
  switch (type) {
    case frame.ready:
      return { type: "ready", version: r.u16(), json: JSON.parse(r.restText()) as Record<string, unknown> };
    case frame.unfit:
      return { type: "unfit", error: readError(r) };
    case frame.started:
      return { type: "started", object: r.u32(), took: r.f64() };
    case frame.startFailed:
      return { type: "startFailed", object: r.u32(), error: readError(r) };
    case frame.progress:
      return { type: "progress", object: r.u32(), started: r.u32(), finished: r.u32(), tasks: r.u32() };
    case frame.send:
      return { type: "send", socket: r.u64(), data: payload(r) };
    case frame.broadcast: {
      const sockets = Array.from({ length: r.u32() }, () => r.u64());
      return { type: "broadcast", sockets, data: payload(r) };
    }
    case frame.close:
      return { type: "close", socket: r.u64(), code: r.u16(), reason: r.restText() };
    case frame.accept: {
      const object = r.u32();
      const socket = r.u64();
      return { type: "accept", object, socket, tags: Array.from({ length: r.u8() }, () => r.str()) };
    }
    case frame.attachment: {
      const socket = r.u64();
      const has = r.u8() !== 0;
      const value = r.restBytes();
      return { type: "attachment", socket, value: has ? value : null };
    }
    case frame.autoResponse: {
      const object = r.u32();
      const has = r.u8() !== 0;
      const pair: [string, string] = [r.str(), r.str()];
      return { type: "autoResponse", object, pair: has ? pair : null };
    }
    case frame.eventTimeout:
      return { type: "eventTimeout", object: r.u32(), ms: r.u32() };
    case frame.open:
      return { type: "open", socket: r.u64(), object: r.u32() };
    case frame.release:
      return { type: "release", socket: r.u64() };
    case frame.commit:
      return { type: "commit", object: r.u32(), number: r.u32(), unconfirmed: r.u8() !== 0 };
    case frame.awaitDurable:
      return { type: "awaitDurable", object: r.u32(), commit: r.u32() };
    case frame.inspecting:
      return { type: "inspecting", url: r.str(), failure: r.str() };
    case frame.traced:
      return { type: "traced", context: r.restText() };
    case frame.blame:
      return { type: "blame", object: r.u32(), event: r.u32() };
    case frame.cause:
      return { type: "cause", session: r.u8() === 1, number: r.u32() };
    case frame.direct:
      return { type: "direct", object: r.u32(), events: r.u32(), us: r.u32() };
    case frame.directCause:
      return { type: "directCause", object: r.u32(), event: r.u32() };
    case frame.lasting:
      return { type: "lasting", object: r.u32(), event: r.u32() };
    case frame.over:
      return { type: "over", object: r.u32(), event: r.u32() };
    case frame.waited:
      return { type: "waited", object: r.u32(), us: r.u32() };
    case frame.askPast:
      return { type: "askPast", object: r.u32(), question: r.u32(), what: r.u8(), time: r.f64(), bookmark: r.restText() };
    case frame.foundAlarm:
      return { type: "foundAlarm", object: r.u32(), time: r.f64() };
    case frame.setAlarm: {
      const object = r.u32();
      const has = r.u8() !== 0;
      const time = r.f64();
      return { type: "setAlarm", object, time: has ? time : null, committed: r.u8() !== 0 };
    }
    case frame.log:
      return { type: "log", object: r.u32(), level: r.u8(), time: r.f64(), text: r.restText() };
    case frame.aborted: {
      const object = r.u32();
      const error = readError(r);
      return { type: "aborted", object, error, flags: r.u8() };
    }
    case frame.asleep:
      return { type: "asleep", object: r.u32() };
    case frame.awake:
      return { type: "awake", object: r.u32() };
    case frame.report:
      return { type: "report", query: r.u32(), reasons: JSON.parse(r.restText()) as [] };
    case frame.snapshotHeld:
      return { type: "snapshotHeld", object: r.u32() };
    case frame.checkpointed:
      return { type: "checkpointed", object: r.u32(), frames: r.u32() };
    case frame.databaseClosed:
      return { type: "databaseClosed", object: r.u32() };
    case frame.done:
      return { type: "done", exchange: r.u32() };
    case frame.request: {
      const head = { exchange: r.u32(), from: r.u32(), target: r.u8(), index: r.u16(), id: r.id() };
      const hasName = r.u8() !== 0;
      const name = r.str();
      const hasBody = (r.u8() & 1) !== 0;
      const rest = { method: r.str(), url: r.str(), headers: r.headers(), cf: r.str(), entrypoint: r.str() };
      return { type: "request", ...head, name: hasName ? name : null, hasBody, ...rest };
    }
    case frame.response:
      return { type: "response", exchange: r.u32(), status: r.u16(), statusText: r.str(), flags: r.u8(), headers: r.headers(), socket: r.u64() };
    case frame.body:
      return { type: "body", exchange: r.u32(), data: r.restBytes() };
    case frame.bodyEnd:
      return { type: "bodyEnd", exchange: r.u32() };
    case frame.bodyAbort:
      return { type: "bodyAbort", exchange: r.u32(), reason: r.restText() };
    case frame.credit:
      return { type: "credit", exchange: r.u32(), bytes: r.u32() };
    case frame.cancel:
      return { type: "cancel", exchange: r.u32(), reason: r.restText() };
    case frame.failure:
      return { type: "failure", exchange: r.u32(), error: readError(r) };
    case frame.rpcOpen: {
      const head = { session: r.u32(), from: r.u32(), target: r.u8(), index: r.u16(), id: r.id() };
      const hasName = r.u8() !== 0;
      const name = r.str();
      return { type: "rpcOpen", ...head, name: hasName ? name : null, entrypoint: r.str(), props: r.bytes(), first: r.restBytes() };
    }
    case frame.rpcMessage:
      return { type: "rpcMessage", session: r.u32(), message: r.restBytes() };
    case frame.rpcClose:
      return { type: "rpcClose", session: r.u32(), message: r.restBytes() };
    case frame.rpcCredit:
      return { type: "rpcCredit", session: r.u32(), bytes: r.u32() };
    case frame.rpcFailure:
      return { type: "rpcFailure", session: r.u32(), error: readError(r) };
    default:
      throw new Error(`a guest sent frame 0x${type.toString(16)}`);
  }
}
