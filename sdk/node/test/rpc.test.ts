/*
 * RPC sessions as the host carries them: frames, gates, credit, ends. What
 * authors see of RPC is compared with workerd in conformance/.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import v8 from "node:v8";
import type { Said } from "./support/frames.ts";
import { Host } from "./support/host.ts";
import { Writer } from "../src/wire.ts";

type Of<K extends Said["type"]> = Extract<Said, { type: K }>;

const a = 0x100000000;

const source = `
import { DurableObject, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
class Counter extends RpcTarget { n = 0; add(k) { return this.n += k; } }
export class Room extends DurableObject {
  add(x, y) { return x + y; }
  counter() { return new Counter(); }
  async write(x) { await this.ctx.storage.put("x", x); return "written"; }
  never() { return new Promise(() => {}); }
  passed() { return this.env.ROOM.getByName("passed"); }
  async apply(f, x) { return f(x); }
  async webSocketMessage(ws, message) {
    const [word, ...args] = message.split(" ");
    const stub = this.stub ??= this.env.ROOM.getByName("other");
    try {
      switch (word) {
        case "call": ws.send("got " + await stub.add(1, 2)); break;
        case "write": this.ctx.storage.put("y", 1); ws.send("got " + await stub.add(1, 2)); break;
        case "pipeline": ws.send("got " + await stub.counter().add(5)); break;
        case "hold": this.held = await stub.counter(); ws.send("held"); break;
        case "fill": for (let i = 0; i < 5; i++) this.held.add("x".repeat(600000)); ws.send("filled"); break;
      }
    } catch (e) { ws.send(e.name + ": " + e.message + (e.durableObjectReset ? " reset" : "") + (e.remote ? " remote" : "")); }
  }
}
export class Entry extends WorkerEntrypoint { hi(x) { return "hi " + x + JSON.stringify(this.ctx.props); } }
export default {};`;

async function started(): Promise<Host> {
  const host = await Host.start({ source, classes: ["Room"] });
  host.write((f) => f.start({ object: 1, sockets: 1 }).sockets(1, [{ socket: a }]));
  await host.await("started");
  return host;
}

function bytes(make: (w: Writer) => void): Buffer {
  const w = new Writer(64);
  make(w);
  return Buffer.from(w.buffer.subarray(0, w.at));
}

/** `kind` 0: an export, 1: an answer. */
function call(question: number, path: string[], args: unknown[] | null, kind = 0, target = 0): Buffer {
  return bytes((w) => {
    w.u8(1);
    w.u32(question);
    w.u8(kind);
    w.u32(target);
    w.u8(args === null ? 0 : 1);
    w.u16(path.length);
    for (const name of path) w.str(name);
    if (args === null) return;
    w.u16(0);
    w.raw(v8.serialize(args));
  });
}

const answer = (question: number, value: unknown): Buffer => bytes((w) => {
  w.u8(2);
  w.u32(question);
  w.u16(0);
  w.raw(v8.serialize(value));
});

/** An answer that is a reference: export `id` of the sender. */
const reference = (question: number, id: number): Buffer => bytes((w) => {
  w.u8(2);
  w.u32(question);
  w.u16(1);
  w.u8(0);
  w.u32(id);
  w.raw(Buffer.from([0xff, 0x0f, 0x5c, 100, 0]));
});

const number = (kind: number, n: number): Buffer => bytes((w) => {
  w.u8(kind);
  w.u32(n);
});

/** What an answer without references holds. */
function valueOf(message: Buffer): unknown {
  assert.equal(message[0], 2, "an answer");
  assert.equal(message.readUInt16LE(5), 0, "no references");
  return v8.deserialize(message.subarray(7));
}

const sent = (host: Host, data: string) => host.next((s) => s.type === "send" && s.data === data);

test("a plain call is one frame each way, and an event", async () => {
  await using host = await started();
  host.write((f) => f.rpcBegin(2, 1, call(1, ["add"], [1, 2])));
  const close = await host.await("rpcClose");
  assert.equal(close.session, 2);
  assert.equal(valueOf(close.message), 3);
  const progress = await host.next<Of<"progress">>((s) => s.type === "progress" && s.finished === 1);
  assert.deepEqual([progress.started, progress.tasks], [1, 0]);
  assert.equal(host.of("rpcMessage").length, 0);
});

test("an entrypoint of the Worker is called with its props", async () => {
  await using host = await started();
  host.write((f) => f.rpcBegin(2, 0, call(1, ["hi"], ["you"]), "Entry", v8.serialize({ a: 1 })));
  assert.equal(valueOf((await host.await("rpcClose")).message), 'hi you{"a":1}');
});

test("an answer leaves behind the commit of what the method has written", async () => {
  await using host = await started();
  host.write((f) => f.rpcBegin(2, 1, call(1, ["write"], [1])));
  await host.await("rpcClose");
  const order = host.said.map((s) => s.type).filter((t) => t === "commit" || t === "rpcClose");
  assert.deepEqual(order, ["commit", "rpcClose"]);
});

test("a call leaves behind the commit of what the caller has written", async () => {
  await using host = await started();
  host.write((f) => f.message(a, "write"));
  await host.await("rpcOpen");
  const order = host.said.map((s) => s.type).filter((t) => t === "commit" || t === "rpcOpen");
  assert.deepEqual(order, ["commit", "rpcOpen"]);
});

test("a pending call keeps its caller, and `why` says so", async () => {
  await using host = await started();
  host.write((f) => f.message(a, "call"));
  const open = await host.await("rpcOpen");
  assert.deepEqual([open.from, open.target, open.index, open.name], [1, 0, 0, "other"]);
  host.write((f) => f.why(7, 1));
  const report = await host.await("report");
  assert.ok(report.reasons.some((r) => r.kind === "call" && r.detail === "RPC add"), JSON.stringify(report.reasons));
  host.write((f) => f.rpcClose(open.session, answer(1, 3)));
  await sent(host, "got 3");
  await host.next((s) => s.type === "progress" && s.finished === 1 && s.tasks === 0);
});

test("a call of an answer that is plain is answered by whoever has it", async () => {
  await using host = await started();
  host.write((f) => f.message(a, "pipeline"));
  const open = await host.await("rpcOpen");
  // The call of the answer crosses the end of the session.
  assert.equal((await host.await("rpcMessage")).session, open.session);
  host.write((f) => f.rpcClose(open.session, answer(1, { add: 5 })));
  await sent(host, 'TypeError: "add" is not a function. remote');
});

test("references keep both ends until they are released", async () => {
  await using host = await started();
  host.write((f) => f.rpcBegin(2, 1, call(1, ["counter"], [])));
  const first = await host.await("rpcMessage");
  assert.equal(first.message.readUInt16LE(5), 1, "one reference");
  await host.next((s) => s.type === "progress" && s.finished === 1 && s.tasks === 1);
  host.write((f) => f.hibernate(1, 1));
  await host.await("awake");
  host.write((f) => f.rpcMessage(2, number(4, 1)).rpcMessage(2, call(2, ["add"], [4], 0, 1)));
  const second = await host.next<Of<"rpcMessage">>((s) => s.type === "rpcMessage" && s !== first);
  assert.equal(valueOf(second.message), 4);
  host.write((f) => f.rpcMessage(2, number(4, 2)).rpcMessage(2, number(5, 1)));
  assert.equal((await host.await("rpcClose")).message.length, 0);
  await host.next((s) => s.type === "progress" && s.finished === 1 && s.tasks === 0);
  host.write((f) => f.hibernate(1, 1));
  await host.await("asleep");
});

test("a caller that gives up ends the event", async () => {
  await using host = await started();
  host.write((f) => f.rpcBegin(2, 1, call(1, ["never"], [])));
  await host.next((s) => s.type === "progress" && s.started === 1 && s.finished === 0);
  host.write((f) => f.rpcClose(2));
  await host.next((s) => s.type === "progress" && s.finished === 1 && s.tasks === 0);
});

test("when the object is reset its calls fail, and its stub stays broken", async () => {
  await using host = await started();
  host.write((f) => f.message(a, "call"));
  const open = await host.await("rpcOpen");
  host.write((f) => f.rpcFailure(open.session, { flags: 1 | 8, message: "on purpose" }));
  await sent(host, "Error: on purpose reset");
  const before = host.said.length;
  host.write((f) => f.message(a, "call"));
  await host.next((s) => s.type === "send" && s.data === "Error: on purpose reset", before);
  assert.equal(host.of("rpcOpen").length, 1);
});

test("what is beyond the credit waits for it", async () => {
  await using host = await started();
  host.write((f) => f.message(a, "hold"));
  const open = await host.await("rpcOpen");
  host.write((f) => f.rpcMessage(open.session, reference(1, 1)));
  await sent(host, "held");
  host.write((f) => f.message(a, "fill"));
  await sent(host, "filled");
  // `finish`, and two calls: the second goes beyond the window of a megabyte.
  const messages = () => host.of("rpcMessage").filter((m) => m.session === open.session);
  assert.deepEqual(messages().map((m) => m.message[0]), [4, 1, 1]);
  host.write((f) => f.rpcCredit(open.session, messages().reduce((n, m) => n + m.message.length, 0)));
  await host.next(() => messages().length === 5);
});

/** A reference to an object by its binding, as a message that answers nobody. */
const byBinding = bytes((w) => {
  w.u8(2);
  w.u32(9);
  w.u16(1);
  w.u8(2);
  w.target({ target: 0, index: 0, id: "0".repeat(64), name: null });
  w.str("");
  w.bytes(Buffer.alloc(0));
});

test("a stub of a binding is passed by its number within a Worker, and as an export to another one", async () => {
  await using host = await started();
  const kindOf = async (session: number) => {
    const said = await host.next<Of<"rpcMessage" | "rpcClose">>((s) => (s.type === "rpcMessage" || s.type === "rpcClose") && s.session === session);
    return { type: said.type, kind: said.message[7] };
  };
  host.write((f) => f.rpcBegin(2, 1, call(1, ["passed"], [])).foreign().rpcBegin(4, 1, call(1, ["passed"], [])).rpcBegin(6, 1, call(1, ["passed"], [])));
  assert.deepEqual(await kindOf(2), { type: "rpcClose", kind: 2 });
  assert.deepEqual(await kindOf(4), { type: "rpcMessage", kind: 0 });
  assert.deepEqual(await kindOf(6), { type: "rpcClose", kind: 2 }, "foreign is one session");
  // What is asked of it is asked from here.
  const before = host.said.length;
  host.write((f) => f.rpcMessage(4, call(2, ["add"], [1, 2], 0, 1)));
  const asked = await host.next<Of<"rpcOpen">>((s) => s.type === "rpcOpen", before);
  host.write((f) => f.rpcClose(asked.session, answer(1, 3)));
  const told = await host.next<Of<"rpcMessage">>((s) => s.type === "rpcMessage" && s.session === 4 && s.message[0] === 2, before);
  assert.equal(valueOf(told.message), 3);
});

test("messages that cannot be break their session, and nothing else", async () => {
  const first = call(1, ["add"], [1, 2]);
  const counter = call(1, ["counter"], []);
  const broken: Record<string, (f: import("./support/frames.ts").HostFrames) => unknown> = {
    "no first message": (f) => f.rpcBegin(2, 1, Buffer.alloc(0)),
    "a first message that is no call": (f) => f.rpcBegin(2, 1, number(4, 1)),
    "a first call of something else": (f) => f.rpcBegin(2, 1, call(1, ["add"], [], 0, 5)),
    "a path of too many names": (f) => f.rpcBegin(2, 1, call(1, Array<string>(65).fill("a"), [])),
    "a cut off message": (f) => f.rpcBegin(2, 1, first.subarray(0, 12)),
    "an unknown kind": (f) => f.rpcBegin(2, 1, counter).rpcMessage(2, number(99, 1)),
    "a call of a reference that is not": (f) => f.rpcBegin(2, 1, counter).rpcMessage(2, call(2, ["add"], [], 0, 77)),
    "a call of an answer that is not": (f) => f.rpcBegin(2, 1, counter).rpcMessage(2, call(2, ["add"], [], 1, 77)),
    "a question twice": (f) => f.rpcBegin(2, 1, counter).rpcMessage(2, call(1, ["add"], [], 1, 1)),
    "a release of what is not": (f) => f.rpcBegin(2, 1, counter).rpcMessage(2, number(5, 77)),
    "references that are not there": (f) => f.rpcBegin(2, 1, counter).rpcMessage(2, Buffer.from([2, 9, 0, 0, 0, 0xff, 0xff])),
    "a binding of ours that another Worker names": (f) => f.foreign().rpcBegin(2, 1, counter).rpcMessage(2, byBinding),
    "a reference of no kind": (f) => f.rpcBegin(2, 1, counter).rpcMessage(2, Buffer.from([2, 9, 0, 0, 0, 1, 0, 9, 0, 0, 0, 0])),
  };
  await using host = await started();
  let events = 0;
  for (const [name, say] of Object.entries(broken)) {
    const before = host.said.length;
    host.write(say);
    events++;
    const failed = await host.next<Of<"rpcFailure">>((s) => s.type === "rpcFailure", before);
    assert.match(failed.error.message, /session 2/, name);
    // The event is over, and the number may be used again.
    await host.next((s) => s.type === "progress" && s.started === events && s.finished === events && s.tasks === 0, before);
  }
  host.write((f) => f.rpcBegin(2, 1, first));
  assert.equal(valueOf((await host.await("rpcClose")).message), 3);
});

test("values that cannot be read fail the call and nothing else", async () => {
  await using host = await started();
  const garbage = bytes((w) => {
    w.raw(call(1, ["add"], null));
    w.buffer[10] = 1;
    w.u16(0);
    w.raw(Buffer.from([0xff, 0x0f, 0x41, 0xff, 0xff, 0xff, 0x7f]));
  });
  host.write((f) => f.rpcBegin(2, 1, garbage).rpcBegin(4, 1, call(1, ["add"], [2, 3])));
  const failed = await host.next<Of<"rpcClose">>((s) => s.type === "rpcClose" && s.session === 2);
  assert.equal(failed.message[0], 3, "an error");
  assert.equal(valueOf((await host.next<Of<"rpcClose">>((s) => s.type === "rpcClose" && s.session === 4)).message), 5);
});
