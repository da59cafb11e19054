/*
 * Each attempt: a name, what it does, and what must come of it: a value, the
 * text of an error behind "! ", or a pattern between slashes.
 */

import { AsyncLocalStorage } from "node:async_hooks";
import * as asyncHooks from "node:async_hooks";
import { EventEmitter as events } from "node:events";
import net from "node:net";
import nodefs from "node:fs";
import promises from "node:fs/promises";
import process_ from "node:process";

const bundleOnly = "/^! No such module .*/";
let top;
try { top = await import("node:fs"); } catch (e) { top = e; }

const attempts = [
  // ---- modules
  ["child_process exec", async () => (await import("node:child_process")).exec("id")],
  ["worker_threads Worker", async () => new (await import("node:worker_threads")).Worker("x")],
  ["vm runInNewContext", async () => (await import("node:vm")).runInNewContext("1")],
  ["cluster fork", async () => (await import("cluster")).fork()],
  ["inspector Session", async () => new (await import("inspector")).Session()],
  ["sqlite DatabaseSync", async () => new (await import("node:sqlite")).DatabaseSync(":memory:")],
  ["repl start", async () => (await import("repl")).start()],
  ["wasi WASI", async () => new (await import("node:wasi")).WASI()],
  ["dgram createSocket", async () => (await import("dgram")).createSocket("udp4")],
  ["http2 createServer", async () => (await import("http2")).createServer()],
  ["trace_events createTracing", async () => (await import("trace_events")).createTracing({ categories: ["v8"] })],
  ["module register", async () => {
    const m = await import("node:module");
    return ["register", "registerHooks", "runMain", "_load", "_findPath", "findPackageJSON", "SourceMap", "syncBuiltinESMExports"].map((n) => { try { return m[n]("./x.js"); } catch (e) { return e.message; } });
  }, ["register", "registerHooks", "runMain", "_load", "_findPath", "findPackageJSON", "SourceMap", "syncBuiltinESMExports"].map((n) => `${n} of node:module cannot be used in a Worker.`)],
  ["createRequire child_process", async () => (await import("node:module")).createRequire(import.meta.url)("child_process"), '! No such module "child_process".'],
  ["createRequire fs", async () => (await import("node:module")).createRequire(import.meta.url)("fs").readdirSync("/"), ["bundle", "dev", "tmp"]],
  ["createRequire path", async () => (await import("node:module")).createRequire(import.meta.url)("node:path").join("a", "b"), "a/b"],
  ["internal module", () => import("internal/test/binding"), bundleOnly],
  ["node:internal", () => import("node:internal/options"), bundleOnly],
  ["a package", () => import("typescript"), bundleOnly],
  ["a file outside", (env) => import(env.OUTSIDE), bundleOnly],
  ["a file URL outside", (env) => import("file://" + env.OUTSIDE), bundleOnly],
  ["upwards", () => import("../../../etc/hosts"), bundleOnly],
  ["upwards, encoded", () => import("./%2e%2e/%2e%2e/etc/hosts"), bundleOnly],
  ["a link that leads outside", () => import("./link.js"), bundleOnly],
  ["a file that is not there", () => import("./nothing.js"), bundleOnly],
  ["the guest's own file", (env) => import("file://" + env.GUEST), bundleOnly],
  ["the registry", () => import("dormouse-registry:"), bundleOnly],
  ["a synthetic module by its inner name", () => import("dormouse:node:fs"), bundleOnly],
  ["a data: URL", () => import("data:text/javascript,export default 1"), bundleOnly],
  ["a blob: URL", () => import(URL.createObjectURL(new Blob(["export default 1"], { type: "text/javascript" }))), bundleOnly],
  ["an http: URL", () => import("http://127.0.0.1/x.js"), bundleOnly],
  ["an https: URL", () => import("https://example.com/x.js"), bundleOnly],
  ["a file of the bundle", async () => (await import("./side.js")).default, "side"],
  ["a text of the bundle", async () => (await import("./text.txt")).default, "a text"],
  ["bytes of the bundle", async () => [...new Uint8Array((await import("./bytes.bin")).default)], [1, 2, 3]],
  ["JSON of the bundle", async () => (await import("./value.json")).default, { a: 1 }],
  ["fs at the top is the same", () => top.readdirSync("/"), ["bundle", "dev", "tmp"]],
  // ---- code made of strings
  ["eval", () => eval("1"), "! Code generation from strings disallowed for this context"],
  ["indirect eval", () => (0, eval)('import("node:child_process")'), "! Code generation from strings disallowed for this context"],
  ["new Function", () => new Function('return import("node:fs")')(), "! Code generation from strings disallowed for this context"],
  ["constructor of a function", () => fetch.constructor("return process")(), "! Code generation from strings disallowed for this context"],
  ["constructor of an async function", () => (async () => {}).constructor('return import("node:fs")')(), "! Code generation from strings disallowed for this context"],
  ["constructor of a generator", () => (function* () {}).constructor("yield 1")(), "! Code generation from strings disallowed for this context"],
  ["setTimeout of a string", () => setTimeout("globalThis.x = 1"), "/^! The \"callback\" argument must be of type function/"],
  // ---- process
  ["process is one", () => process === process_ && process === globalThis.process && process === global.process, true],
  ["process.env", () => Object.keys(process.env), []],
  ["process.exit", () => process.exit(1), "! process.exit() is not available in a Worker."],
  ["process.abort", () => process.abort(), "! process.abort() is not available in a Worker."],
  ["process.kill", () => process.kill(process.ppid, 9), "! process.kill() is not available in a Worker."],
  ["what process has not", () => ["binding", "_linkedBinding", "dlopen", "reallyExit", "mainModule", "_debugProcess", "_kill", "report", "permission", "setUncaughtExceptionCaptureCallback", "loadEnvFile", "_getActiveHandles", "_getActiveRequests", "_tickCallback", "_rawDebug", "setuid", "send", "channel", "allowedNodeEnvironmentFlags", "finalization", "openStdin", "constrainedMemory"].filter((n) => n in process), []],
  ["the constructor of process", () => Object.getPrototypeOf(process) === events.prototype, true],
  ["process hears of nothing", () => ["eventNames", "listeners"].map((n) => process[n]("exit").length), [0, 0]],
  ["process.getBuiltinModule", () => ["fs", "node:child_process", "sqlite", "worker_threads", "module", "process"].map((n) => process.getBuiltinModule(n)?.default ?? process.getBuiltinModule(n)).map((m) => (m === undefined ? "none" : m === nodefs || m === nodefs.default ? "fs" : m === process ? "process" : typeof m.createRequire)), ["fs", "none", "none", "none", "function", "process"]],
  ["behind process.stdout", () => ["_handle", "_type", "isTTY", "fs", "end"].map((n) => typeof process.stdout[n]), ["undefined", "undefined", "undefined", "undefined", "function"]],
  ["process.on", () => process.on("exit", () => {}) === process, true],
  // ---- files
  ["reading the machine", () => nodefs.readFileSync("/etc/passwd"), "! ENOENT: no such file or directory, open '/etc/passwd'"],
  ["reading /proc", () => nodefs.readFileSync("/proc/self/environ"), "! ENOENT: no such file or directory, open '/proc/self/environ'"],
  ["upwards from /bundle", () => nodefs.readFileSync("/bundle/../../etc/passwd"), "! ENOENT: no such file or directory, open '/etc/passwd'"],
  ["through a link", () => nodefs.readFileSync("/bundle/link.js", "utf8"), "! EACCES: permission denied, stat '/bundle/link.js'"],
  ["promises", () => promises.readFile("/etc/passwd"), "! ENOENT: no such file or directory, open '/etc/passwd'"],
  ["callback", () => new Promise((_, reject) => nodefs.readFile("/etc/passwd", (e) => reject(e))), "! ENOENT: no such file or directory, open '/etc/passwd'"],
  ["own bundle", () => nodefs.readFileSync("/bundle/side.js", "utf8"), "export default 'side';"],
  ["relative is the bundle", () => nodefs.readFileSync("side.js", "utf8"), "export default 'side';"],
  ["writing the bundle", () => nodefs.writeFileSync("/bundle/x", "x"), "! EPERM: operation not permitted, open '/bundle/x'"],
  ["writing outside", () => nodefs.writeFileSync("/etc/x", "x"), "! EPERM: operation not permitted, open '/etc/x'"],
  ["/tmp", () => {
    nodefs.mkdirSync("/tmp/a/b", { recursive: true });
    nodefs.writeFileSync("/tmp/a/b/c", "one");
    nodefs.appendFileSync("/tmp/a/b/c", " two");
    const seen = [nodefs.readFileSync("/tmp/a/b/c", "utf8"), nodefs.readdirSync("/tmp/a"), nodefs.statSync("/tmp/a/b/c").size, nodefs.existsSync("/tmp/a/b/c")];
    nodefs.rmSync("/tmp/a", { recursive: true });
    return [...seen, nodefs.existsSync("/tmp/a")];
  }, ["one two", ["b"], 7, true, false]],
  ["/tmp has a bound", () => {
    try {
      nodefs.writeFileSync("/tmp/big", Buffer.alloc((64 << 20) + 1));
    } finally {
      nodefs.rmSync("/tmp/big", { force: true });
    }
  }, "! ENOSPC: no space left on device, write '/tmp/big'"],
  ["/dev", () => [nodefs.readFileSync("/dev/null").length, nodefs.readFileSync("/dev/zero")[0], nodefs.readFileSync("/dev/random").length, nodefs.writeFileSync("/dev/null", "x") === undefined], [0, 0, 4096, true]],
  ["fs.writeSync(3)", () => nodefs.writeSync(3, "junk"), "! ENOSYS: function not implemented, writeSync ''"],
  ["fs.openSync", () => nodefs.openSync("/proc/self/fd/3"), "! ENOSYS: function not implemented, openSync ''"],
  ["fs.symlinkSync", () => nodefs.symlinkSync("/etc", "/tmp/etc"), "! ENOSYS: function not implemented, symlinkSync ''"],
  // ---- descriptors and sockets
  ["net.Socket on 3", () => new net.Socket({ fd: 3 }).write("junk"), "/^! A Worker cannot open/"],
  ["a handle's constructor", () => new Promise((resolve, reject) => {
    const s = net.connect(9, "127.0.0.1");
    s.on("error", () => {});
    try {
      new s._handle.constructor(0).open(3);
      resolve("open");
    } catch (e) {
      reject(e);
    } finally {
      s.destroy();
    }
  }), "! A Worker cannot open sockets or descriptors."],
  ["net.createServer", () => net.createServer(), "! createServer of node:net cannot be used in a Worker."],
  ["net.Server", () => new net.Server(), "! Server of node:net cannot be used in a Worker."],
  ["a handle that listens", () => {
    const s = net.connect(9, "127.0.0.1");
    s.on("error", () => {});
    try {
      s._handle.listen(1);
    } finally {
      s.destroy();
    }
  }, "! A Worker cannot listen sockets or descriptors."],
  ["http.createServer", async () => (await import("node:http")).createServer(), "! createServer of node:http cannot be used in a Worker."],
  ["a Unix socket", () => new Promise((resolve, reject) => net.connect("/var/run/docker.sock").on("error", reject).on("connect", () => resolve("connected"))), "/^! (A Worker cannot connect to Unix sockets|.*denied)/"],
  ["http over a Unix socket", async () => {
    const http = await import("node:http");
    return new Promise((resolve, reject) => http.get({ socketPath: "/var/run/docker.sock" }, resolve).on("error", reject));
  }, "/^! (A Worker cannot connect to Unix sockets|.*denied)/"],
  // ---- what shows the runtime's own objects
  ["async_hooks", async () => {
    let seen = 0;
    const hook = asyncHooks.createHook({ init: () => seen++, before: () => seen++ }).enable();
    await new Promise((resolve) => setTimeout(resolve, 1));
    hook.disable();
    return [seen, asyncHooks.executionAsyncId(), asyncHooks.triggerAsyncId(), Object.keys(asyncHooks.executionAsyncResource())];
  }, [0, 0, 0, []]],
  ["async_hooks has nothing else", () => Object.keys(asyncHooks).sort(), ["AsyncLocalStorage", "AsyncResource", "asyncWrapProviders", "createHook", "default", "executionAsyncId", "executionAsyncResource", "triggerAsyncId"]],
  ["AsyncLocalStorage works", () => new AsyncLocalStorage().run(7, () => 7), 7],
  ["v8", async () => ["setFlagsFromString", "queryObjects", "writeHeapSnapshot", "takeCoverage", "startupSnapshot"].filter((n) => n in globalThis), []],
  ["v8 module", async () => (await import("node:v8")).setFlagsFromString("--allow-natives-syntax"), "! setFlagsFromString of node:v8 cannot be used in a Worker."],
  ["v8 promise hooks", async () => (await import("node:v8")).promiseHooks.onInit(() => {}), "! promiseHooks.onInit of node:v8 cannot be used in a Worker."],
  ["module's cache and loader", async () => {
    const m = await import("node:module");
    return [Object.keys(m._cache ?? {}), Object.keys(m._extensions ?? {}).map((k) => { try { return m._extensions[k]({}, "/etc/passwd"); } catch (e) { return e.message; } })];
  }, [[], ["_extensions..js of node:module cannot be used in a Worker.", "_extensions..json of node:module cannot be used in a Worker.", "_extensions..node of node:module cannot be used in a Worker."]]],
  ["channels of Node's own", async () => {
    const dc = await import("node:diagnostics_channel");
    let seen = 0;
    for (const name of ["net.client.socket", "undici:request:create", "http.client.request.start"]) dc.subscribe(name, () => seen++);
    const s = net.connect(9, "127.0.0.1");
    s.on("error", () => {});
    s.destroy();
    await fetch("http://127.0.0.1:9/").catch(() => {});
    dc.subscribe("mine", () => (seen += 100));
    dc.channel("mine").publish({});
    return seen;
  }, 100],
  ["call sites", () => {
    const old = Error.prepareStackTrace;
    Error.prepareStackTrace = (_e, sites) => sites;
    let sites;
    [1].sort(() => 0);
    sites = new Error("x").stack;
    Error.prepareStackTrace = old;
    return sites.some((s) => s.getThis() !== undefined || s.getFunction() !== undefined);
  }, false],
  ["call sites below a callback of ours", () => {
    const old = Error.prepareStackTrace;
    Error.prepareStackTrace = (_e, sites) => sites.map((s) => typeof s.getFunction());
    let seen;
    try {
      new Headers({ a: { toString() { seen = new Error("x").stack; return "1"; } } });
    } finally {
      Error.prepareStackTrace = old;
    }
    return new Set(seen).has("function");
  }, false],
  ["globals that lead outside", () => ["require", "module", "exports", "localStorage", "sessionStorage", "BroadcastChannel", "__dirname"].filter((n) => n in globalThis), []],
  ["console", () => Object.keys(console).some((n) => n.startsWith("_") || n === "Console"), false],
  ["import.meta", () => [typeof import.meta.main, typeof import.meta.require], ["boolean", "undefined"]],
];

export default {
  async fetch(_request, env) {
    const answers = [];
    for (const [name, attempt, wanted] of attempts) {
      let got;
      try {
        got = await attempt(env);
      } catch (e) {
        got = "! " + (e?.message ?? e);
      }
      answers.push([name, got ?? null, wanted]);
    }
    return Response.json(answers);
  },
};
