/*
 * The corpus of frames that both banks of the guest protocol read and write:
 * internal/guest/guestwire/testdata. Each frame is taken apart with Reader, by
 * the tables of docs/guest-protocol.md, and put together again with Writer; what
 * a guest says is written by Outlet too.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { readError, type WireError, writeError } from "../src/errors.ts";
import { Outlet } from "../src/outlet.ts";
import { frame, magic, ProtocolError, Reader, textKind, version, Writer } from "../src/wire.ts";

interface Line {
  readonly name: string;
  readonly type: number; // -1: `body` is the whole frame
  readonly body: Buffer;
  readonly why: string;
}

function corpus(file: string): Line[] {
  const path = new URL(`../../../internal/guest/guestwire/testdata/${file}`, import.meta.url);
  const lines: Line[] = [];
  for (const text of readFileSync(path, "utf8").split("\n")) {
    if (text === "" || text.startsWith("#")) continue;
    const [name = "", type = "", body = "", why = ""] = text.split(" ");
    lines.push({ name, type: type === "raw" ? -1 : Number.parseInt(type, 16), body: Buffer.from(body === "-" ? "" : body, "hex"), why });
  }
  assert.ok(lines.length > 50, `${file} has ${lines.length} lines`);
  return lines;
}

function whole(type: number, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32LE(body.length + 1);
  head[4] = type;
  return Buffer.concat([head, body]);
}

/** A field: how it is read, and how it is written. */
interface Field {
  get(r: Reader): unknown;
  put(w: Writer, v: never): void;
}

function below(n: number): Field {
  return {
    get(r) {
      const v = r.u8();
      if (v >= n) throw new ProtocolError(`${v} where less than ${n} is possible`);
      return v;
    },
    put: (w, v) => w.u8(v),
  };
}

const u8: Field = { get: (r) => r.u8(), put: (w, v) => w.u8(v) };
const u16: Field = { get: (r) => r.u16(), put: (w, v) => w.u16(v) };
const u32: Field = { get: (r) => r.u32(), put: (w, v) => w.u32(v) };
const u64: Field = { get: (r) => r.u64(), put: (w, v) => w.u64(v) };
const f64: Field = { get: (r) => r.f64(), put: (w, v) => w.f64(v) };
const str: Field = { get: (r) => r.str(), put: (w, v) => w.str(v) };
const id: Field = { get: (r) => r.id(), put: (w, v) => w.id(v) };
const text: Field = { get: (r) => r.restText(), put: (w, v) => w.text(v) };
const raw: Field = { get: (r) => r.restBytes(), put: (w, v) => w.raw(v) };
const bytes: Field = { get: (r) => r.bytes(), put: (w, v) => w.bytes(v) };
const headers: Field = { get: (r) => r.headers(), put: (w, v) => w.headers(v) };
const bool = below(2);

/** How many there were: at least one. */
const events: Field = {
  get(r) {
    const n = r.u32();
    if (n === 0) throw new ProtocolError("no events");
    return n;
  },
  put: (w, v) => w.u32(v),
};

const error: Field = {
  get(r) {
    const e = readError(r);
    if (e.flags > 15) throw new ProtocolError(`flags ${e.flags} of an error`);
    return e;
  },
  put: (w, v) => writeError(w, v as WireError),
};

/** Text or bytes, behind the number that says which. */
const message: Field = {
  get(r) {
    const kind = r.u8();
    if (kind !== 1 && kind !== 2) throw new ProtocolError(`message of kind ${kind}`);
    return kind === textKind ? r.restText() : Buffer.from(r.restArrayBuffer());
  },
  put(w, v: string | Buffer) {
    w.u8(typeof v === "string" ? 1 : 2);
    if (typeof v === "string") w.text(v);
    else w.raw(v);
  },
};

function list(count: Field, of: Field[]): Field {
  return {
    get(r) {
      const rows: unknown[][] = [];
      for (let n = count.get(r) as number; n > 0; n--) rows.push(of.map((f) => f.get(r)));
      return rows;
    },
    put(w, rows: unknown[][]) {
      count.put(w, rows.length as never);
      for (const row of rows) of.forEach((f, i) => f.put(w, row[i] as never));
    },
  };
}

const row = [u64, below(4), f64, list(u8, [str]), str, str, bool, bytes];
const request = [below(2), str, str, headers, str, str];

const tables: Record<number, Field[]> = {
  [frame.hello]: [u32, u16, u32, text],
  [frame.start]: [u32, u16, id, bool, str, bool, str, str, u32, u32],
  [frame.sockets]: [u32, list(u16, row)],
  [frame.message]: [u64, message],
  [frame.closed]: [u64, u16, below(4), text],
  [frame.errored]: [u64, text],
  [frame.hostRequest]: [u32, u32, ...request],
  [frame.hibernate]: [u32, u32, below(4)],
  [frame.reset]: [u32, error],
  [frame.alarm]: [u32, u32, f64, u8],
  [frame.durable]: [u32, u32],
  [frame.why]: [u32, u32],
  [frame.stamps]: [list(u32, [u64, f64])],
  [frame.buffered]: [u64, u32],
  [frame.shutdown]: [u32],
  [frame.clock]: [f64],
  [frame.response]: [u32, u16, str, below(4), headers, u64],
  [frame.body]: [u32, raw],
  [frame.bodyEnd]: [u32],
  [frame.bodyAbort]: [u32, text],
  [frame.credit]: [u32, u32],
  [frame.cancel]: [u32, text],
  [frame.failure]: [u32, error],
  [frame.ready]: [u16, text],
  [frame.unfit]: [error],
  [frame.started]: [u32, f64],
  [frame.startFailed]: [u32, error],
  [frame.progress]: [u32, u32, u32, u32],
  [frame.send]: [u64, message],
  [frame.broadcast]: [list(u32, [u64]), message],
  [frame.close]: [u64, u16, text],
  [frame.accept]: [u32, u64, list(u8, [str])],
  [frame.attachment]: [u64, bool, raw],
  [frame.autoResponse]: [u32, bool, str, str],
  [frame.eventTimeout]: [u32, u32],
  [frame.open]: [u64, u32],
  [frame.release]: [u64],
  [frame.commit]: [u32, u32, below(2)],
  [frame.awaitDurable]: [u32, u32],
  [frame.setAlarm]: [u32, bool, f64, bool],
  [frame.foundAlarm]: [u32, f64],
  [frame.log]: [u32, below(4), f64, text],
  [frame.aborted]: [u32, error, below(8)],
  [frame.asleep]: [u32],
  [frame.awake]: [u32],
  [frame.report]: [u32, text],
  [frame.done]: [u32],
  [frame.handled]: [u64],
  [frame.pause]: [u64, bool],
  [frame.database]: [u32, text],
  [frame.checkpoint]: [u32, below(3)],
  [frame.closeDatabase]: [u32],
  [frame.snapshotHeld]: [u32],
  [frame.checkpointed]: [u32, u32],
  [frame.databaseClosed]: [u32],
  [frame.askPast]: [u32, u32, below(3), f64, text],
  [frame.past]: [u32, u32, bool, text],
  [frame.request]: [u32, u32, below(7), u16, id, bool, str, ...request],
  [frame.lasting]: [u32, u32],
  [frame.over]: [u32, u32],
  [frame.waited]: [u32, u32],
  [frame.trace]: [text],
  [frame.traced]: [text],
  [frame.blame]: [u32, u32],
  [frame.cause]: [below(2), u32],
  [frame.props]: [raw],
  [frame.foreign]: [],
  [frame.direct]: [u32, events, u32],
  [frame.directCause]: [u32, u32],
  [frame.inspect]: [bool],
  [frame.inspecting]: [str, str],
  [frame.rpcOpen]: [u32, u32, below(5), u16, id, bool, str, str, bytes, raw],
  [frame.rpcBegin]: [u32, u32, str, bytes, raw],
  [frame.rpcMessage]: [u32, raw],
  [frame.rpcClose]: [u32, raw],
  [frame.rpcCredit]: [u32, u32],
  [frame.rpcFailure]: [u32, error],
};

function read(type: number, body: Buffer): unknown[] {
  const table = tables[type];
  if (table === undefined) throw new ProtocolError(`unknown frame 0x${type.toString(16)}`);
  const r = new Reader();
  r.reset(body, 0, body.length);
  const values = table.map((f) => f.get(r));
  r.done();
  return values;
}

function write(type: number, values: unknown[]): Buffer {
  const w = new Writer(8);
  const start = w.begin(type, 0);
  tables[type]!.forEach((f, i) => f.put(w, values[i] as never));
  w.end(start);
  return Buffer.from(w.buffer.subarray(0, w.at));
}

test("every type of frame has a table and a frame in the corpus", () => {
  const named = Object.values(frame).sort((a, b) => a - b);
  assert.deepEqual(Object.keys(tables).map(Number).sort((a, b) => a - b), named);
  const seen = new Set(corpus("good.hex").map((l) => l.type));
  assert.deepEqual([...seen].sort((a, b) => a - b), named);
});

test("good frames are read and written again, byte for byte", () => {
  for (const { name, type, body } of corpus("good.hex")) {
    assert.equal(write(type, read(type, body)).toString("hex"), whole(type, body).toString("hex"), name);
  }
});

/** Lengths of whole frames are for Channel, and "value" for the tables: see below. */
test("bad frames are refused", () => {
  let n = 0;
  for (const { name, type, body, why } of corpus("bad.hex")) {
    if (type < 0 || why === "value") continue; // below
    n++;
    assert.throws(() => read(type, body), ProtocolError, name);
  }
  assert.ok(n > 100, `${n} bad frames`);
});

test("numbers and kinds that cannot be are refused", () => {
  const cannot = corpus("bad.hex").filter((l) => /past-2\^53|kind|step|flag-|unknown-flag|^has-2|level|phase/.test(l.name) && l.why === "value");
  assert.ok(cannot.length >= 10);
  for (const { name, type, body } of cannot) {
    if (name.startsWith("response-flag-")) continue; // each field may be; together they may not
    assert.throws(() => read(type, body), ProtocolError, name);
  }
  const [hello, other] = ["hello-other-magic", "hello-other-version"].map((n) => corpus("bad.hex").find((l) => l.name === n)!);
  assert.notEqual(read(frame.hello, hello!.body)[0], magic);
  assert.notEqual(read(frame.hello, other!.body)[1], version);
});

/** The values of a frame of ours, said to Outlet. */
function say(out: Outlet, type: number, v: any[]): void {
  const sendTo = (ids: number[], data: string | Buffer) => {
    for (const id of ids) {
      if (typeof data === "string") out.sendText(1, { id, mark: 0 }, data);
      else out.sendBinary(1, { id, mark: 0 }, data);
    }
  };
  switch (type) {
    case frame.response: return out.response(v[0], v[1], v[2], (v[3] & 1) !== 0, v[4], v[5]);
    case frame.body: return out.body(v[0], v[1]);
    case frame.bodyAbort: case frame.cancel: case frame.report: return out.numberAndText(type, v[0], v[1]);
    case frame.credit: case frame.eventTimeout: case frame.awaitDurable: case frame.checkpointed: case frame.waited: case frame.lasting: case frame.over: case frame.blame: case frame.directCause: return out.twoNumbers(type, v[0], v[1]);
    case frame.rpcCredit: return out.twoNumbers(type, v[0], v[1]);
    case frame.rpcOpen: {
      const start = out.rpcOpen(v[0], v[1], { target: v[2], index: v[3], id: v[4], name: v[5] === 0 ? null : v[6], entrypoint: v[7], props: v[8] });
      out.raw(v[9]);
      return out.end(start);
    }
    case frame.rpcMessage: case frame.rpcClose: {
      const start = out.begin(type, 4);
      out.u32(v[0]);
      out.raw(v[1]);
      return out.end(start);
    }
    case frame.rpcFailure: case frame.failure: case frame.startFailed: return out.numberAndError(type, v[0], v[1]);
    case frame.bodyEnd: case frame.asleep: case frame.awake: case frame.done: case frame.snapshotHeld: case frame.databaseClosed: return out.number(type, v[0]);
    case frame.handled: return out.handled(v[0]);
    case frame.inspecting: return out.inspecting(v[0], v[1]);
    case frame.direct: return out.direct(v[0], v[1], v[2]);
    case frame.cause: return out.cause(v[0], v[1]);
    case frame.traced: return out.traced(v[0]);
    case frame.ready: return out.ready(v[0], v[1]);
    case frame.unfit: return out.unfit(v[0]);
    case frame.started: return out.started(v[0], v[1]);
    case frame.progress: return out.progress(v[0], v[1], v[2], v[3]);
    case frame.send: return sendTo([v[0]], v[1]);
    case frame.broadcast: return sendTo((v[0] as number[][]).map(([id]) => id!), v[1]);
    case frame.close: return out.close(v[0], v[1], v[2]);
    case frame.accept: return out.accept(v[0], v[1], (v[2] as string[][]).map(([tag]) => tag!));
    case frame.attachment: return out.attachment(v[0], v[1] === 0 ? null : v[2]);
    case frame.autoResponse: return out.autoResponse(v[0], v[1] === 0 ? null : { request: v[2], response: v[3] });
    case frame.open: return out.open(v[0], v[1]);
    case frame.release: return out.release(v[0]);
    case frame.pause: return out.pause(v[0], v[1] === 1);
    case frame.commit: return out.commit(v[0], v[1], v[2] === 1);
    case frame.askPast: return out.askPast(v[0], v[1], v[2], v[3], v[4]);
    case frame.foundAlarm: return out.foundAlarm(v[0], v[1]);
    case frame.setAlarm: return out.setAlarm(v[0], v[1] === 0 ? null : v[2], v[3] === 1);
    case frame.log: return out.log(v[0], v[1], v[2], v[3]);
    case frame.aborted: return out.aborted(v[0], v[1], v[2]);
    case frame.request:
      return out.request({
        exchange: v[0], from: v[1], target: v[2], index: v[3], id: v[4], name: v[5] === 0 ? null : v[6],
        hasBody: v[7] === 1, method: v[8], url: v[9], headers: v[10], cf: v[11], entrypoint: v[12],
      });
    default: throw new Error(`nothing says frame 0x${type.toString(16)}`);
  }
}

test("Outlet writes what a guest says as the corpus has it", () => {
  for (const { name, type, body } of corpus("good.hex")) {
    if (type < frame.response || type === frame.trace || type === frame.props || type === frame.foreign || type === frame.inspect || type === frame.clock || type === frame.past || type === frame.rpcBegin || (type >= frame.database && type <= frame.closeDatabase) || name === "broadcast-none") continue; // nobody: Outlet then says nothing
    const out = new Outlet(8);
    say(out, type, read(type, body));
    out.settle();
    assert.equal(out.buffer.subarray(0, out.at).toString("hex"), whole(type, body).toString("hex"), name);
  }
});

test("a frame past the limit is not written", () => {
  const out = new Outlet(8);
  out.number(frame.asleep, 1);
  const before = out.at;
  assert.throws(() => out.body(1, new Uint8Array(48 << 20)), RangeError);
  assert.equal(out.at, before);
});

test("a batch that grows large is not copied for each frame", () => {
  const out = new Writer(256 << 10);
  const piece = new Uint8Array(64 << 10);
  let buffers = 0;
  let buffer = out.buffer;
  for (let i = 0; i < 512; i++) {
    const start = out.begin(frame.body, 4);
    out.u32(1);
    out.raw(piece);
    out.end(start);
    if (out.buffer === buffer) continue;
    buffer = out.buffer;
    buffers++;
  }
  assert.ok(buffers <= 20, `32 MiB took ${buffers} buffers`);
  assert.ok(out.buffer.length <= out.at * 1.25 + (64 << 10), `${out.buffer.length} bytes for ${out.at}`);
});
