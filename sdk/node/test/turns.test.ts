import assert from "node:assert/strict";
import { test } from "node:test";
import { Host } from "./support/host.ts";
import type { Said } from "./support/frames.ts";

const source = `
export class Room {
  constructor(ctx, env) { this.ctx = ctx; this.env = env; this.log = []; }

  async webSocketMessage(ws, message) {
    const { storage } = this.ctx;
    const [verb, arg] = message.split(" ");
    switch (verb) {
      case "count": {
        const n = (await storage.get("n")) ?? 0;
        await storage.put("n", n + 1);
        ws.send("n=" + (n + 1));
        break;
      }
      case "around":
        ws.send("before");
        storage.put("k", arg);
        ws.send("after");
        await null;
        ws.send("still after");
        break;
      case "unconfirmed":
        storage.put("k", arg, { allowUnconfirmed: true });
        ws.send("unconfirmed");
        break;
      case "rollback":
        ws.send("before");
        storage.put("k", "never");
        ws.send("never");
        this.ctx.abort("because");
        break;
      case "abort":
        try { this.ctx.abort(arg); } catch { ws.send("caught"); } finally { ws.send("finally"); }
        break;
      case "read":
        ws.send("k=" + (await storage.get("k")));
        break;
      case "later":
        setTimeout(() => { storage.put("t", 1); ws.send("from a timer"); }, 1);
        break;
      case "same":
        for (const s of this.ctx.getWebSockets()) s.send("to all");
        break;
      case "throw":
        throw new Error("thrown " + arg);
      case "reject":
        await null;
        throw new Error("rejected " + arg);
      case "tick":
        process.nextTick(() => { ws.send("tick"); throw new Error("in a tick"); });
        break;
      case "compute": {
        const until = Date.now() + 3;
        while (Date.now() < until);
        ws.send("computed");
        break;
      }
      case "forever":
        for (;;);
      case "interleave":
        ws.send("start " + arg);
        await new Promise((r) => setTimeout(r, 5));
        ws.send("end " + arg);
        break;
      case "fk": {
        const { sql } = storage;
        sql.exec("CREATE TABLE IF NOT EXISTS p (id INTEGER PRIMARY KEY)");
        sql.exec("CREATE TABLE IF NOT EXISTS c (p INTEGER REFERENCES p(id) DEFERRABLE INITIALLY DEFERRED)");
        sql.exec("INSERT INTO c VALUES (1)");
        ws.send("never");
        break;
      }
      default:
        ws.send("echo " + message);
    }
  }
}
export default {};
`;

const a = 0x100000000;
const b = a + 2;

async function room(options: object = {}): Promise<Host> {
  const host = await Host.start({ source, classes: ["Room"], ...options });
  host.write((f) => f.start({ object: 1, sockets: 2 }).sockets(1, [{ socket: a }, { socket: b }]));
  await host.await("started");
  host.clear();
  return host;
}

const texts = (host: Host) => host.of("send").map((s) => s.data);

test("32 read-modify-writes in one batch give 32", async () => {
  await using host = await room();
  host.write((f) => {
    for (let i = 0; i < 32; i++) f.message(a, "count");
  });
  await host.next((s) => s.type === "send" && s.data === "n=32");
  assert.deepEqual(texts(host), Array.from({ length: 32 }, (_, i) => `n=${i + 1}`));
});

test("sends made before a write leave before its commit, those made after it behind it", async () => {
  await using host = await room();
  host.write((f) => f.message(a, "around 1"));
  await host.next((s) => s.type === "progress" && s.finished === 1);
  const kinds = host.said.filter((s) => s.type === "send" || s.type === "commit");
  assert.deepEqual(
    kinds.map((s) => (s.type === "send" ? s.data : "commit")),
    ["before", "commit", "after", "still after"],
  );
  assert.deepEqual(host.of("commit"), [{ type: "commit", object: 1, number: 1, unconfirmed: false }]);
});

test("an unconfirmed commit says so", async () => {
  await using host = await room();
  host.write((f) => f.message(a, "unconfirmed 1"));
  const commit = await host.await("commit");
  assert.equal(commit.unconfirmed, true);
});

test("an abort takes the turn's writes and the sends behind them with it, and the rest of the batch goes on", async () => {
  await using host = await room();
  host.write((f) => f.start({ object: 2, id: "cd".repeat(32), sockets: 1 }).sockets(2, [{ socket: a + 100 }]));
  await host.await("started");
  host.clear();
  host.write((f) => f.message(a, "rollback").message(a, "lost").message(a + 100, "lives").request({ exchange: 2 }));
  const aborted = await host.await("aborted");
  assert.equal(aborted.object, 1);
  assert.equal(aborted.error.message, "because");
  assert.equal(aborted.error.flags, 9);
  assert.equal(aborted.flags, 1);
  await host.next((s) => s.type === "send" && s.data === "echo lives");
  await host.await("failure"); // The Worker has no fetch: it was asked all the same.
  assert.deepEqual(texts(host), ["before", "echo lives"]);
  // What was not committed is not there.
  host.write((f) => f.start({ object: 3, sockets: 1 }).sockets(3, [{ socket: a + 200 }]).message(a + 200, "read"));
  await host.next((s) => s.type === "send" && s.data === "k=undefined");
});

test("21 aborts in one batch: everything else of it runs, and timers go on", async () => {
  await using host = await Host.start({ source, classes: ["Room"] });
  host.write((f) => {
    for (let i = 1; i <= 42; i++) f.start({ object: i, id: i.toString(16).padStart(64, "0"), sockets: 1 }).sockets(i, [{ socket: a * (i + 1) }]);
  });
  await host.next((s) => s.type === "started" && s.object === 42);
  host.write((f) => {
    for (let i = 1; i <= 42; i++) f.message(a * (i + 1), i % 2 === 0 ? "abort x" : "later");
    for (let i = 1; i <= 42; i++) f.message(a * (i + 1), `m${i}`);
  });
  await host.next(() => host.of("aborted").length === 21 && texts(host).filter((t) => String(t).startsWith("echo")).length === 21);
  assert.ok(!texts(host).includes("caught") && !texts(host).includes("finally"));
  while (texts(host).filter((t) => t === "from a timer").length < 21) await host.next((s) => s.type === "send", host.said.length);
});

test("a batch cut into bytes is the same batch", async () => {
  await using host = await room();
  const { HostFrames } = await import("./support/frames.ts");
  const frames = new HostFrames();
  for (let i = 0; i < 5; i++) frames.message(a, "count");
  for (const byte of frames.take()) {
    host.raw(Buffer.of(byte));
    await new Promise((r) => setImmediate(r));
  }
  await host.next((s) => s.type === "send" && s.data === "n=5");
});

test("a large message goes through both ways", async () => {
  await using host = await room();
  const big = "é".repeat(3 << 20);
  host.write((f) => f.message(a, big).message(a, "count"));
  const s = await host.await("send");
  assert.equal(s.data, `echo ${big}`);
  await host.next((x) => x.type === "send" && x.data === "n=1");
});

test("the same text for all sockets is one frame", async () => {
  await using host = await room();
  host.write((f) => f.message(a, "same"));
  const said = await host.await("broadcast");
  assert.deepEqual(said, { type: "broadcast", sockets: [b, a], data: "to all" });
});

test("handlers of one socket start in order and interleave at awaits", async () => {
  await using host = await room();
  host.write((f) => f.message(a, "interleave 1").message(a, "interleave 2"));
  await host.next((s) => s.type === "send" && s.data === "end 2");
  assert.deepEqual(texts(host), ["start 1", "start 2", "end 1", "end 2"]);
});

test("a handler that throws or rejects is logged, and nothing else happens", async () => {
  await using host = await room();
  host.write((f) => f.message(a, "throw 1").message(a, "reject 2").message(a, "tick").message(a, "on"));
  await host.next((s) => s.type === "progress" && s.finished === 4);
  assert.deepEqual(texts(host), ["tick", "echo on"]);
  const logs = host.of("log");
  assert.deepEqual(logs.map((l) => [l.object, l.level]), [[1, 3], [1, 3], [1, 3]]);
  assert.match(logs[0]!.text, /thrown 1[\s\S]*webSocketMessage/);
  assert.match(logs[1]!.text, /rejected 2/);
  assert.match(logs[2]!.text, /in a tick/);
});

test("a commit that fails resets the object, and its sends are dropped", async () => {
  await using host = await room();
  host.write((f) => f.message(a, "fk").message(b, "lost"));
  const aborted = await host.await("aborted");
  assert.match(aborted.error.message, /^Durable Object was reset and rolled back to its last known good state/);
  assert.deepEqual(texts(host), []);
});

test("counts of events begun and finished, and of tasks", async () => {
  await using host = await room();
  host.write((f) => f.message(a, "interleave 1").message(a, "x"));
  const first = await host.next((s) => s.type === "progress" && s.started === 2);
  assert.deepEqual(first, { type: "progress", object: 1, started: 2, finished: 1, tasks: 1 } satisfies Said);
  const last = await host.next((s) => s.type === "progress" && s.finished === 2);
  assert.deepEqual(last, { type: "progress", object: 1, started: 2, finished: 2, tasks: 0 } satisfies Said);
});

/** A room of its own for each socket a + 2i. */
async function rooms(n: number): Promise<Host> {
  const host = await Host.start({ source, classes: ["Room"], config: { marks: false } });
  host.write((f) => {
    for (let i = 0; i < n; i++) f.start({ object: i + 1, id: (i + 1).toString(16).padStart(64, "0"), sockets: 1 }).sockets(i + 1, [{ socket: a + 2 * i }]);
  });
  await host.next((s) => s.type === "started" && s.object === n);
  host.clear();
  return host;
}

test("who is quick does not wait for all that others have to compute", async () => {
  await using host = await rooms(12);
  // A turn that the machine interrupts looks long: that it is quick has to be seen now and then, not always.
  for (let round = 0; round < 50; round++) {
    host.clear();
    host.write((f) => {
      for (let i = 0; i < 11; i++) f.message(a + 2 * i, "compute");
      f.message(a + 22, "1").message(a + 22, "2");
    });
    await host.next(() => host.of("send").length === 13);
    const order = texts(host);
    assert.ok(order.indexOf("echo 1") < order.indexOf("echo 2"));
    if (order.indexOf("echo 2") < 6) return;
  }
  assert.fail("it has never gone first");
});

test("whoever goes first, each object gets what it is told once and in order", async () => {
  const n = 24;
  await using host = await rooms(n);
  const told: string[][] = Array.from({ length: n }, () => []);
  let seed = 1;
  const random = (below: number) => (seed = (seed * 48271) % 0x7fffffff) % below;
  for (let count = 0, round = 0; round < 60; round++) {
    host.write((f) => {
      for (let k = random(40); k > 0; k--) {
        const i = random(n);
        // Now and then one that is known as quick computes, and the other way round.
        if (random(i < 4 ? 2 : 40) === 0) {
          f.message(a + 2 * i, "compute");
          told[i]!.push("computed");
        } else {
          f.message(a + 2 * i, `${++count}`);
          told[i]!.push(`echo ${count}`);
        }
        if (random(30) === 0) f.message(a + 2 * n, "of a socket that nobody has");
      }
    });
    if (random(3) === 0) await new Promise((r) => setTimeout(r, random(5)));
  }
  await host.next(() => host.of("send").length === told.flat().length);
  for (let i = 0; i < n; i++) {
    assert.deepEqual(host.of("send").filter((s) => s.socket === a + 2 * i).map((s) => s.data), told[i]);
  }
});

test("what has been said does not wait until all of the batch has run", async () => {
  await using host = await room();
  // Longer than the clock may go unseen; then one that does not end.
  host.write((f) => {
    for (let i = 0; i < 24; i++) f.message(a, "compute");
    f.message(a, "forever");
  });
  await host.await("send");
  host.child.kill("SIGKILL"); // it would not hear that it is to go
});
