import assert from "node:assert/strict";
import { test } from "node:test";
import type { Said } from "./support/frames.ts";
import { Host, type Options } from "./support/host.ts";

type Of<K extends Said["type"]> = Extract<Said, { type: K }>;

async function unfit(source: string, options: Partial<Options> = {}): Promise<Of<"unfit">["error"]> {
  await using host = await Host.start({ source, ...options });
  const said = host.said[0]!;
  assert.equal(said.type, "unfit", JSON.stringify(said));
  assert.equal(await host.exited, 0);
  return (said as Of<"unfit">).error;
}

async function answer(source: string, options: Partial<Options> = {}): Promise<string> {
  await using host = await Host.start({ source, ...options });
  assert.equal(host.said[0]!.type, "ready", JSON.stringify(host.said[0]));
  host.write((f) => f.request({ exchange: 2 }));
  const said = await host.next((s) => s.type === "bodyEnd" || s.type === "failure");
  if (said.type === "failure") return `failure ${said.error.name}: ${said.error.message}`;
  return Buffer.concat(host.of("body").map((b) => b.data)).toString();
}

test("a module that throws at load is unfit, with the author's stack", async () => {
  const error = await unfit(`function deep() { throw new RangeError("at load"); }\ndeep();`);
  assert.deepEqual([error.name, error.message], ["RangeError", "at load"]);
  assert.match(error.stack, /at deep .*index\.js:1:/);
});

test("a module that cannot be parsed, or imports what is not there, is unfit", async () => {
  assert.equal((await unfit("export default {")).name, "SyntaxError");
  assert.match((await unfit(`import "./nothing.js";`)).message, /^No such module ".*nothing\.js"/);
  assert.match((await unfit(`import "leftpad";`)).message, /^No such module "leftpad"/);
  assert.match((await unfit(`import { nope } from "cloudflare:workers";`)).message, /nope/);
});

test("a class that is bound and not exported is unfit by name", async () => {
  const error = await unfit(`export class Chat {}\nexport class Lobby {}\nexport default {};`, { classes: ["Chat", "Room"] });
  assert.equal(
    error.message,
    "The class Room is bound but the Worker's main module does not export it: it exports Chat, Lobby. Export it, or change class_name.",
  );
});

test("the stack names the author's files of a source map", async () => {
  const map = { version: 3, sources: ["../src/room.ts"], names: [], mappings: "AAAA;AAIA", sourcesContent: ["a\nb\nc\nd\nthrow new Error('x')"] };
  const url = `data:application/json;base64,${Buffer.from(JSON.stringify(map)).toString("base64")}`;
  const error = await unfit(`//\nthrow new Error("mapped");\n//# sourceMappingURL=${url}`);
  assert.match(error.stack, /src\/room\.ts:5/);
});

test("what nobody catches is logged and ends nothing", async () => {
  await using host = await Host.start({
    source: `
      addEventListener("unhandledrejection", (e) => { if (e.reason.message === "handled") { e.preventDefault(); console.log("seen"); } });
      export default { fetch() {
        Promise.reject(new Error("unhandled"));
        Promise.reject(new Error("handled"));
        queueMicrotask(() => { throw new Error("microtask"); });
        setTimeout(() => { throw new Error("timer"); }, 1);
        process.nextTick(() => { throw new Error("tick"); });
        new EventTarget().dispatchEvent(new Event("x"));
        return new Response("still here");
      } };`,
  });
  host.write((f) => f.request({ exchange: 2 }));
  await host.next((s) => s.type === "log" && s.text.includes("timer"));
  await host.await("bodyEnd");
  const logged = host.of("log").filter((l) => l.level === 3).map((l) => /Error: (\w+)/.exec(l.text)![1]).sort();
  assert.deepEqual(logged, ["microtask", "tick", "timer", "unhandled"]);
  assert.ok(host.of("log").some((l) => l.text === "seen"));
  host.write((f) => f.request({ exchange: 4 }));
  await host.next((s) => s.type === "bodyEnd" && s.exchange === 4);
});

test("console: levels, objects, bounded lines", async () => {
  await using host = await Host.start({
    source: `export default { fetch() {
      console.debug("d"); console.log("l %s %d", "x", 5, { a: [1, { b: 2 }] }); console.info(new Map([[1, 2]])); console.warn("w"); console.error(new Error("e"));
      console.group("g"); console.log("in"); console.groupEnd(); console.table([{ a: 1 }]); console.log("x".repeat(100000)); console.assert(false, "asserted");
      return new Response(""); } };`,
  });
  host.write((f) => f.request({ exchange: 2 }));
  await host.await("response");
  const logs = host.of("log");
  assert.deepEqual(logs.slice(0, 4).map((l) => [l.level, l.text]), [[0, "d"], [1, "l x 5 { a: [ 1, { b: 2 } ] }"], [1, "Map(1) { 1 => 2 }"], [2, "w"]]);
  assert.equal(logs[4]!.level, 3);
  assert.match(logs[4]!.text, /^Error: e\n {4}at .*index\.js/);
  assert.deepEqual(logs.slice(5, 7).map((l) => l.text), ["g", "  in"]);
  assert.match(logs[7]!.text, /│ 0/);
  assert.ok(logs[8]!.text.length < 70_000);
  assert.deepEqual([logs[9]!.level, logs[9]!.text], [3, "Assertion failed: asserted"]);
});

test("errors of a handler: with and without enhanced serialisation", async () => {
  const source = `class MyError extends Error { constructor(m) { super(m); this.name = "MyError"; this.code = 7; } }
    export default { fetch() { throw new MyError("mine"); } };`;
  assert.equal(await answer(source), "failure MyError: mine");
  assert.equal(await answer(source, { flags: { enhanced_error_serialization: false } }), "failure Error: MyError: mine");
  assert.equal(await answer(`export default { fetch() { throw "a string"; } };`), "failure Error: a string");
  assert.equal(await answer(`export default { fetch() { throw { get message() { throw 1; } }; } };`), "failure Error: [object Object]");
  assert.match(await answer(`export default { fetch() { throw Object.create(null); } };`), /^failure Error: an error that cannot be read/);
});

test("flags: Node's modules and globals", async () => {
  const source = `const seen = []; for (const n of ["node:fs", "fs", "node:async_hooks"]) { try { await import(n); seen.push(n); } catch {} }
    export default { fetch() { return new Response([...seen, typeof process, typeof Buffer].join()); } };`;
  const ask = (v2: boolean, v1: boolean, als: boolean) => answer(source, { flags: { nodejs_compat: v1, nodejs_compat_v2: v2, nodejs_als: als } });
  assert.equal(await ask(true, true, false), "node:fs,fs,node:async_hooks,object,function");
  assert.equal(await ask(false, true, false), "node:fs,node:async_hooks,undefined,undefined");
  assert.equal(await ask(false, false, true), "node:async_hooks,undefined,undefined");
  assert.equal(await ask(false, false, false), "undefined,undefined");
});

test("flags: process.env", async () => {
  const source = `export default { fetch() { return Response.json(process.env); } };`;
  const bindings = { vars: { A: "1", B: { c: 2 } } };
  assert.equal(await answer(source, { bindings }), "{}");
  assert.equal(await answer(source, { bindings, flags: { nodejs_compat_populate_process_env: true } }), '{"A":"1","B":"{\\"c\\":2}"}');
});

test("cloudflare:workers has the names that it has in workerd", async () => {
  const names = JSON.parse(await answer(`import * as all from "cloudflare:workers"; export default { fetch() { return Response.json(Object.keys(all).sort()); } };`)) as unknown;
  assert.deepEqual(names, [
    "DurableObject", "RpcPromise", "RpcProperty", "RpcStub", "RpcTarget", "ServiceStub", "WorkerEntrypoint", "WorkflowEntrypoint", "abortIsolate",
    "cache", "env", "exports", "restore", "tracing", "waitUntil", "withEnv", "withEnvAndExports", "withExports",
  ]);
});

test("env and exports of cloudflare:workers, ctx.exports, cloudflare:email and cloudflare:durable-objects", async () => {
  const source = `
    import { WorkerEntrypoint, DurableObject, env, exports, withEnv } from "cloudflare:workers";
    import { EmailMessage } from "cloudflare:email";
    import { retryable } from "cloudflare:durable-objects";
    const atLoad = env.GREETING;
    export class Room extends DurableObject {}
    export class Unbound extends DurableObject {}
    export class Ent extends WorkerEntrypoint { fetch() { return new Response(JSON.stringify(this.ctx.props)); } }
    export default { async fetch(request, e, ctx) {
      let bad; try { retryable(5); } catch (x) { bad = x.message; }
      return Response.json([atLoad, env.GREETING, Object.keys(env), withEnv({ X: 1 }, () => [env.X, Object.keys(env)]), await withEnv({ X: 2 }, async () => { await null; return env.X; }),
        Object.keys(ctx.exports).sort(), typeof ctx.exports.Room.idFromName, Object.prototype.toString.call(ctx.exports.Unbound),
        await (await ctx.exports.Ent.fetch("http://x/")).text(), await (await ctx.exports.Ent({ props: { a: 1 } }).fetch("http://x/")).text(),
        Object.keys(exports).length, typeof EmailMessage, bad]);
    } };`;
  const got = JSON.parse(await answer(source, { classes: ["Room"], bindings: { vars: { GREETING: "hi" } } })) as unknown;
  assert.deepEqual(got, [
    "hi", "hi", ["GREETING", "ROOM"], [1, ["X"]], 2, ["Ent", "Room", "Unbound", "default"], "function", "[object LoopbackDurableObjectClass]",
    "{}", '{"a":1}', 4, "function", "retryable() accepts only functions.",
  ]);
});

test("what is not offered says so by name when it is used", async () => {
  assert.match(await answer(`import { cache } from "cloudflare:workers"; export default { fetch() { cache.purge(); } };`), /cache\.purge\(\) of/);
});

test("a stub takes a relative URL where the date is old", async () => {
  await using host = await Host.start({
    source: `export class Room {} export default { fetch(r, env) { return env.ROOM.getByName("x").fetch("/path"); } };`,
    classes: ["Room"],
    flags: { durable_object_fetch_requires_full_url: false },
  });
  host.write((f) => f.request({ exchange: 2 }));
  assert.equal((await host.await("request")).url, "https://fake-host/path");
});

test("a frame that cannot be ends the guest with a reason", async () => {
  const bad: [string, (host: Host) => void, RegExp][] = [
    ["unknown", (h) => h.raw(Buffer.from([1, 0, 0, 0, 0x7f])), /unknown frame 0x7f/],
    ["too long", (h) => h.raw(Buffer.from([0xff, 0xff, 0xff, 0x7f])), /frame of 2147483647 bytes/],
    ["empty", (h) => h.raw(Buffer.from([0, 0, 0, 0])), /frame of 0 bytes/],
    ["cut short", (h) => h.raw(Buffer.from([2, 0, 0, 0, 0x12, 1])), /frame too short/],
    ["a second hello", (h) => h.write((f) => f.hello(1, {})), /unknown frame 0x1/],
    ["started twice", (h) => h.write((f) => f.start({ object: 1 }).start({ object: 1 })), /started twice/],
    ["too many rows", (h) => h.write((f) => f.start({ object: 1, sockets: 1 }).sockets(1, [{ socket: 2 }, { socket: 4 }])), /sockets too many/],
  ];
  for (const [name, say, reason] of bad) {
    await using host = await Host.start({ source: "export class Room {} export default {};", classes: ["Room"] });
    say(host);
    assert.equal(await host.exited, 70, name);
    assert.match(host.stderr, reason, name);
  }
});

test("another version is refused by number", async () => {
  await using host = new Host({});
  host.write((f) => f.hello(1, host.config, 99));
  assert.equal(await host.exited, 70);
  assert.match(host.stderr, /version 99/);
});

test("the guest ends when the host has gone", async () => {
  const host = await Host.start({ source: "setInterval(() => {}, 1000); export default {};" });
  await host[Symbol.asyncDispose]();
  assert.equal(await host.exited, 0);
});

test("what an object's fetch throws is logged with the author's stack, and its caller sees no stack of ours", async () => {
  await using host = await Host.start({
    classes: ["Room"],
    source: `export class Room { fetch() { return deep(); } }
      function deep() { throw new RangeError("in the object"); }
      export default { async fetch(request, env) {
        try { await env.ROOM.getByName("a").fetch("http://room/"); } catch (e) { return new Response(e.stack); }
      } };`,
  });
  host.write((f) => f.start({ object: 1 }).request({ exchange: 2, object: 1 }).request({ exchange: 4 }));
  const { error } = await host.next<Of<"failure">>((s) => s.type === "failure" && s.exchange === 2);
  assert.match(error.stack, /at deep .*index\.js:2:/);
  const logged = await host.next<Of<"log">>((s) => s.type === "log" && s.text.includes("in the object"));
  assert.match(logged.text, /at deep .*index\.js:2:/);
  const call = await host.await("request");
  host.write((f) => f.failure(call.exchange, { name: "RangeError", message: "in the object", flags: 1 }));
  await host.next((s) => s.type === "bodyEnd" && s.exchange === 4);
  assert.equal(Buffer.concat(host.of("body").filter((b) => b.exchange === 4).map((b) => b.data)).toString(), "RangeError: in the object");
});
