import assert from "node:assert/strict";
import { test } from "node:test";
import type { Said } from "./support/frames.ts";
import { Host, type Options } from "./support/host.ts";

const a = 0x100000000;

async function object(methods: string, options: Partial<Options> = {}): Promise<Host> {
  const source = `export class Room { constructor(ctx, env) { this.ctx = ctx; this.env = env; this.init?.(); }\n${methods}\n}\nexport default {};`;
  return Host.start({ source, classes: ["Room"], ...options });
}

/** Starts object 1 with one socket. */
async function start(host: Host, object = 1): Promise<void> {
  host.write((f) => f.start({ object, sockets: 1 }).sockets(object, [{ socket: a * object }]));
  await host.next((s) => s.type === "started" && s.object === object);
}

test("after asleep the instance is unreachable", async () => {
  // A second object, of the same process, watches what becomes of the first.
  await using host = await object(`
    init() {
      globalThis.gone ??= [];
      const name = this.ctx.id.name;
      globalThis.registry ??= new FinalizationRegistry((n) => globalThis.gone.push(n));
      registry.register(this, name + " instance");
      registry.register(this.ctx, name + " ctx");
      registry.register(this.ctx.storage, name + " storage");
    }
    async webSocketMessage(ws, message) {
      if (message === "work") {
        registry.register(ws, "ws");
        ws.serializeAttachment({ big: "x".repeat(1000) });
        await this.ctx.storage.put("a", 1);
        setTimeout(() => this, 1e6);
        this.ctx.waitUntil(new Promise(() => this));
        AbortSignal.timeout(1e6).addEventListener("abort", () => this);
        try { await fetch("http://127.0.0.1:1/"); } catch {}
        void new Promise((r) => { this.never = r; }).then(() => this);
        const [x, y] = new WebSocketPair();
        x.accept(); y.accept();
        x.addEventListener("message", () => this);
        new MessageChannel().port1.onmessage = () => this;
        ws.send("worked");
      }
      if (message === "gone?") {
        for (let i = 0; i < 20; i++) { gc(); await scheduler.wait(1); }
        ws.send(JSON.stringify(gone.toSorted()));
      }
    }`);
  host.write((f) =>
    f.start({ object: 1, name: "one", id: "11".repeat(32), sockets: 1 }).sockets(1, [{ socket: a }])
      .start({ object: 2, name: "two", id: "22".repeat(32), sockets: 1 }).sockets(2, [{ socket: 2 * a }])
      .message(a, "work"));
  await host.next((s) => s.type === "send" && s.data === "worked");
  // Mode 1: tasks do not keep it.
  await host.next((s) => s.type === "progress" && s.object === 1 && s.finished === 1);
  host.write((f) => f.hibernate(1, 1, 0));
  await host.await("awake");
  host.write((f) => f.hibernate(1, 1, 1));
  await host.await("asleep");
  host.clear();
  host.write((f) => f.message(2 * a, "gone?"));
  const said = await host.await("send");
  assert.deepEqual(JSON.parse(String(said.data)), ["one ctx", "one instance", "one storage", "ws"]);
});

test("hibernate: mode 0 wants all events finished and no tasks, mode 1 only the events, mode 2 nothing", async () => {
  await using host = await object(`
    async webSocketMessage(ws, message) {
      if (message === "timer") setTimeout(() => {}, 1e6);
      if (message === "hang") await new Promise(() => {});
    }`);
  await start(host);
  host.write((f) => f.hibernate(1, 1, 0)); // An event is on its way.
  await host.await("awake");
  host.clear();
  host.write((f) => f.message(a, "timer").hibernate(1, 1, 0));
  await host.await("awake");
  host.write((f) => f.hibernate(1, 1, 1));
  await host.await("asleep");
  await start(host, 2);
  host.clear();
  host.write((f) => f.message(2 * a, "hang").hibernate(2, 1, 1));
  await host.await("awake");
  host.write((f) => f.hibernate(2, 1, 2));
  await host.await("asleep");
});

test("a socket that was restored is as it was", async () => {
  await using host = await object(`
    webSocketMessage(ws, message) {
      const all = this.ctx.getWebSockets();
      ws.send(JSON.stringify([
        ws.deserializeAttachment(), this.ctx.getTags(ws), ws.protocol, ws.extensions, ws.readyState,
        this.ctx.getWebSocketAutoResponseTimestamp(ws)?.getTime(), all.length, all.at(-1) === ws,
        this.ctx.getWebSockets("t").map((w) => w.readyState), this.ctx.getWebSocketAutoResponse()?.request,
        this.ctx.getHibernatableWebSocketEventTimeout(), this.ctx.id.name,
      ]));
      ws.serializeAttachment({ n: 2 });
    }`);
  const { serialize } = await import("../src/storage/clone.ts");
  host.write((f) =>
    f.start({ object: 1, name: "n", pair: ["ping", "pong"], eventTimeout: 60_000, sockets: 2 })
      .sockets(1, [{ socket: a, tags: ["t", "u"], protocol: "p", extensions: "e", stamp: 5, attachment: serialize({ n: 1 }) }])
      .sockets(1, [{ socket: a + 2, tags: ["t"], weClosed: true }])
      .message(a, "x"));
  const said = await host.await("send");
  assert.deepEqual(JSON.parse(String(said.data)), [{ n: 1 }, ["t", "u"], "p", "e", 1, 5, 2, true, [1, 2], "ping", 60_000, "n"]);
  const attachment = await host.await("attachment");
  assert.deepEqual(attachment, { type: "attachment", socket: a, value: Buffer.from(serialize({ n: 2 })) });
  host.clear();
  host.write((f) => f.stamps([[a, 77]]).message(a, "x"));
  const again = await host.await("send");
  assert.equal((JSON.parse(String(again.data)) as unknown[])[5], 77);
});

test("events wait for the constructor's critical section, in their order", async () => {
  await using host = await object(`
    init() { this.ctx.blockConcurrencyWhile(async () => { await scheduler.wait(20); this.ready = true; }); }
    webSocketMessage(ws, message) { ws.send(message + " " + this.ready); }`);
  host.write((f) => f.start({ object: 1, sockets: 1 }).sockets(1, [{ socket: a }]).message(a, "1").message(a, "2"));
  await host.next((s) => s.type === "send" && s.data === "2 true");
  const order = host.said.filter((s) => s.type === "started" || s.type === "send").map((s) => s.type);
  assert.deepEqual(order, ["started", "send", "send"]);
});

test("a constructor that throws, or whose section fails, fails the start", async () => {
  await using host = await object(`
    init() {
      if (this.ctx.id.name === "throws") throw new TypeError("no");
      this.ctx.blockConcurrencyWhile(async () => { throw new RangeError("not that either"); });
    }`);
  host.write((f) => f.start({ object: 1, name: "throws" }).start({ object: 2, name: "rejects", id: "ef".repeat(32) }));
  const one = await host.next<Extract<Said, { type: "startFailed" }>>((s) => s.type === "startFailed" && s.object === 1);
  assert.deepEqual([one.error.name, one.error.message, one.error.flags], ["TypeError", "no", 9]);
  const two = await host.next<typeof one>((s) => s.type === "startFailed" && s.object === 2);
  assert.deepEqual([two.error.name, two.error.message], ["RangeError", "not that either"]);
});

test("blockConcurrencyWhile: other events wait, its own timers run, and what follows it comes first", async () => {
  await using host = await object(`
    async webSocketMessage(ws, message) {
      if (message !== "block") { ws.send(message); return; }
      ws.send("block");
      await this.ctx.blockConcurrencyWhile(async () => {
        ws.send("in");
        await scheduler.wait(5);
        ws.send("out");
      });
      ws.send("after");
    }`);
  await start(host);
  host.write((f) => f.message(a, "block").message(a, "1").message(a, "2"));
  await host.next((s) => s.type === "send" && s.data === "2");
  assert.deepEqual(host.of("send").map((s) => s.data), ["block", "in", "out", "after", "1", "2"]);
});

test("a timer of outside waits for the section", async () => {
  await using host = await object(`
    async webSocketMessage(ws) {
      setTimeout(() => ws.send("outside"), 1);
      await this.ctx.blockConcurrencyWhile(async () => { await scheduler.wait(20); ws.send("inside"); });
    }`);
  await start(host);
  host.write((f) => f.message(a, "x"));
  await host.next((s) => s.type === "send" && s.data === "outside");
  assert.deepEqual(host.of("send").map((s) => s.data), ["inside", "outside"]);
});

test("a section that fails resets the object; nobody catches it", async () => {
  await using host = await object(`
    async webSocketMessage(ws) {
      try {
        await this.ctx.blockConcurrencyWhile(async () => { await this.ctx.storage.put("a", 1); throw Object.assign(new RangeError("inside"), { code: 7 }); });
      } catch { ws.send("caught"); } finally { ws.send("finally"); }
    }`);
  await start(host);
  host.write((f) => f.message(a, "x").message(a, "y"));
  const aborted = await host.await("aborted");
  assert.deepEqual([aborted.error.name, aborted.error.message, aborted.error.flags & 8, aborted.flags], ["RangeError", "inside", 8, 1]);
  assert.deepEqual(host.of("send"), []);
});

test("sections nest to depth 64", async () => {
  await using host = await object(`
    async webSocketMessage(ws) {
      const nest = (n) => this.ctx.blockConcurrencyWhile(async () => {
        try { return await nest(n + 1); } catch (e) { return n + ": " + e.message; }
      });
      ws.send(await nest(1));
    }`);
  await start(host);
  host.write((f) => f.message(a, "x"));
  const said = await host.await("send");
  assert.equal(said.data, "64: blockConcurrencyWhile() calls are nested too deeply.");
});

test("a section that awaits what can never come is a deadlock", async () => {
  await using host = await object(`
    async webSocketMessage(ws, message) {
      if (message === "gc") { for (let i = 0; i < 20; i++) { gc(); await scheduler.wait(1); } return; }
      await this.ctx.blockConcurrencyWhile(() => new Promise(() => {}));
    }`);
  await start(host);
  host.write((f) => f.start({ object: 2, id: "22".repeat(32), sockets: 1 }).sockets(2, [{ socket: 2 * a }]).message(a, "x").message(2 * a, "gc"));
  const aborted = await host.await("aborted");
  assert.match(aborted.error.message, /^A critical section within this Durable Object awaited a Promise that apparently will never complete\./);
});

test("an event that exceeds the event timeout costs the instance its life", async () => {
  await using host = await object(`
    async webSocketMessage(ws, message) {
      this.ctx.setHibernatableWebSocketEventTimeout(20);
      if (message === "hang") await new Promise((r) => { this.r = r; });
    }`);
  await start(host);
  host.write((f) => f.message(a, "quick").message(a, "hang"));
  assert.equal((await host.await("eventTimeout")).ms, 20);
  const aborted = await host.await("aborted");
  assert.equal(aborted.error.message, "Actor exceeded event execution time and was disconnected.");
});

test("reset ends the instance, and asleep is the answer", async () => {
  await using host = await object(`
    async webSocketMessage(ws) { await scheduler.wait(5); ws.send("never"); }`);
  await start(host);
  host.write((f) => f.message(a, "x").reset(1, { message: "Durable Object reset because its code was updated." }));
  await host.await("asleep");
  host.clear();
  host.write((f) => f.start({ object: 2, sockets: 1 }).sockets(2, [{ socket: a }]).message(a, "x"));
  await host.next((s) => s.type === "send" && s.data === "never"); // That of the second instance.
  assert.equal(host.of("send").length, 1);
});

test("why: each task with its age and the author's line", async () => {
  await using host = await object(`
    webSocketMessage(ws) {
      setTimeout(() => {}, 123456);
      this.ctx.waitUntil(new Promise(() => {}));
      this.env.ROOM.getByName("other").fetch("http://x/slow");
      const [x] = new WebSocketPair(); x.accept();
    }`);
  await start(host);
  const before = Date.now();
  host.write((f) => f.message(a, "x").why(9, 1));
  const report = await host.await("report");
  assert.equal(report.query, 9);
  assert.deepEqual(report.reasons.map((r) => r.kind).sort(), ["call", "socket", "timer", "waitUntil"]);
  for (const r of report.reasons) {
    assert.ok(r.since >= before - 1000 && r.since <= Date.now());
    assert.match(r.stack, /webSocketMessage.*index\.js:\d+/, `${r.kind}: ${r.stack}`);
  }
  assert.match(report.reasons.find((r) => r.kind === "timer")!.detail, /123456/);
  const progress = await host.next((s) => s.type === "progress" && s.finished === 1);
  assert.equal((progress as { tasks: number }).tasks, 4);
});

test("tasks count for as long as the limit says, and far timers not at all", async () => {
  await using host = await object(
    `webSocketMessage(ws) { setTimeout(() => {}, 100000); setInterval(() => {}, 2147483647); this.ctx.waitUntil(new Promise(() => {})); }`,
    { limits: { taskKeepalive: 100, ignoreTimersBeyond: 2147483647 } },
  );
  await start(host);
  host.write((f) => f.message(a, "x"));
  await host.next((s) => s.type === "progress" && s.tasks === 2);
  await host.next((s) => s.type === "progress" && s.tasks === 0 && s.finished === 1);
});

test("the 10,001st timer is refused", async () => {
  await using host = await object(`
    webSocketMessage(ws) {
      clearTimeout(setTimeout(() => {}, 1));
      for (let i = 0; i < 10000; i++) setTimeout(() => {}, 1e6);
      try { setTimeout(() => {}, 1); } catch (e) { ws.send(e.name + ": " + e.message); }
    }`);
  await start(host);
  host.write((f) => f.message(a, "x"));
  assert.equal(
    (await host.await("send")).data,
    "QuotaExceededError: You have exceeded the number of active timeouts you may set. max active timeouts: 10000, current active timeouts: 10000, finished timeouts: 1",
  );
});

test("alarms: the database says what is due; failures come back with the retry count", async () => {
  await using host = await object(`
    async webSocketMessage(ws, message) { await this.ctx.storage.setAlarm(Date.now() - 1); ws.send("set"); }
    async alarm(info) {
      const at = await this.ctx.storage.getAlarm();
      console.log(JSON.stringify([info.isRetry, info.retryCount, typeof info.scheduledTime, at]));
      if (info.retryCount === 1) throw new Error("again");
      if (info.retryCount === 2) this.ctx.abort("for good", { retryAlarm: false });
    }`);
  await start(host);
  host.write((f) => f.message(a, "x"));
  await host.next((s) => s.type === "send" && s.data === "set");
  const set = await host.await("setAlarm");
  assert.equal(set.committed, false);
  assert.ok(set.time !== null);
  host.write((f) => f.alarm(4, 1, set.time!, 1));
  assert.equal((await host.await("failure")).error.message, "again");
  host.write((f) => f.alarm(6, 1, set.time!, 0));
  await host.await("done");
  const cleared = await host.next((s) => s.type === "setAlarm" && s.time === null);
  assert.equal((cleared as { committed: boolean }).committed, true);
  assert.deepEqual(host.of("log").map((l) => JSON.parse(l.text)), [[true, 1, "number", null], [false, 0, "number", null]]);
  // Nothing is due any more: done at once, and the index learns it.
  host.clear();
  host.write((f) => f.alarm(8, 1, set.time!, 0));
  await host.await("done");
  assert.deepEqual(host.of("log"), []);
  host.write((f) => f.message(a, "x").alarm(10, 1, 0, 2));
  const aborted = await host.await("aborted");
  assert.equal(aborted.flags, 3);
  assert.equal(host.of("setAlarm").at(-1)!.time, null);
});

test("an alarm that has failed for good is deleted and not run", async () => {
  await using host = await object(`
    async webSocketMessage(ws, message) {
      if (message === "set") await this.ctx.storage.setAlarm(Date.now() - 1);
      ws.send(String(await this.ctx.storage.getAlarm()));
    }
    alarm() { console.log("ran"); }`);
  await start(host);
  host.write((f) => f.message(a, "set").alarm(4, 1, 0, 7));
  await host.await("done");
  assert.equal((await host.next((s) => s.type === "setAlarm" && s.time === null) as { committed: boolean }).committed, true);
  host.clear();
  host.write((f) => f.message(a, "get"));
  assert.equal((await host.await("send")).data, "null");
  assert.deepEqual(host.of("log"), []);
});

test("an alarm whose class has no handler any more is dropped", async () => {
  await using host = await object(`
    init() { this.ctx.storage.setAlarm(Date.now() - 1); }
    webSocketMessage() {}`);
  await start(host);
  host.write((f) => f.alarm(4, 1, 0, 0));
  await host.await("done");
  assert.match(host.of("log").map((l) => l.text).join(), /Attempted to run a scheduled alarm without a handler/);
  assert.equal(host.of("setAlarm").at(-1)!.time, null);
});

test("an alarm that takes too long is cut, and the object reset", async () => {
  await using host = await object(`
    async webSocketMessage(ws, message) { await this.ctx.storage.setAlarm(Date.now() - 1); ws.send("set"); }
    async alarm() { await new Promise((done) => setTimeout(done, 60000)); }`, { limits: { alarm: 50 } });
  await start(host);
  host.write((f) => f.message(a, "x"));
  await host.await("send");
  host.write((f) => f.alarm(4, 1, 0, 0));
  const aborted = await host.await("aborted");
  assert.equal(aborted.error.message, "Alarm exceeded its allowed execution time");
  assert.equal(aborted.flags, 1);
});

test("setAlarm in a class without alarm() throws, but for in the constructor", async () => {
  await using host = await object(`
    async webSocketMessage(ws) { try { await this.ctx.storage.setAlarm(Date.now() + 1e6); } catch (e) { ws.send(e.message); } }`);
  await start(host);
  host.write((f) => f.message(a, "x"));
  assert.match(String((await host.await("send")).data), /must have an alarm\(\) handler/);
});

test("waitUntil keeps the object, and a rejection is logged", async () => {
  await using host = await object(`
    webSocketMessage(ws) { this.ctx.waitUntil(scheduler.wait(10).then(() => { throw new Error("late"); })); }`);
  await start(host);
  host.write((f) => f.message(a, "x"));
  await host.next((s) => s.type === "log" && s.text.includes("late"));
  await host.next((s) => s.type === "progress" && s.tasks === 0 && s.finished === 1);
});

test("shutdown: what runs is finished, then the guest ends by itself", async () => {
  await using host = await object(`
    async webSocketMessage(ws) { await scheduler.wait(30); ws.send("finished"); }`);
  await start(host);
  host.write((f) => f.message(a, "x").shutdown(5000));
  await host.next((s) => s.type === "send" && s.data === "finished");
  assert.equal(await host.exited, 0);
});

test("shutdown: the deadline ends what does not finish", async () => {
  await using host = await object(`async webSocketMessage(ws) { setTimeout(() => {}, 1e6); }`);
  await start(host);
  host.write((f) => f.message(a, "x").shutdown(50));
  assert.equal(await host.exited, 0);
});
