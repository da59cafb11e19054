/*
 * Which of Node's modules author code may have, and in which form. What Workers
 * have is here; what only a process of one's own can have can be imported, so
 * that libraries that merely mention it load, and says so when it is used.
 */

import * as timers from "../timers.ts";
import { nativeProcess } from "../native.ts";
import { disarmHandles } from "./handles.ts";
import type { Modules } from "./loader.ts";
import { asyncHooks, harmless, refusal, refuseRest } from "./refused.ts";
import { type Exports, register, take } from "./registry.ts";
import { VirtualFiles } from "./vfs.ts";

/** They compute, and lead to nothing else. */
const plain = new Set([
  "assert", "assert/strict", "buffer", "events", "path", "path/posix", "path/win32", "punycode", "querystring",
  "stream", "stream/promises", "stream/web", "stream/consumers", "string_decoder", "url", "util", "util/types", "zlib", "crypto",
  "dns", "dns/promises",
]);

/** Node's own with some names taken out or replaced. */
const cut: Record<string, (m: Exports) => Exports> = {
  async_hooks: (m) => ({ ...m, ...asyncHooks() }),
  net: (m) => without(m, ["createServer", "Server", "_createServerHandle", "_normalizeArgs"], "node:net"),
  tls: (m) => without(m, ["createServer", "Server"], "node:tls"),
  http: (m) => without(m, ["createServer", "Server", "ServerResponse", "_connectionListener"], "node:http"),
  https: (m) => without(m, ["createServer", "Server"], "node:https"),
  perf_hooks: (m) =>
    refuseRest({
      ...pick(m, [
        "performance", "Performance", "PerformanceEntry", "PerformanceMark", "PerformanceMeasure", "PerformanceObserver",
        "PerformanceObserverEntryList", "PerformanceResourceTiming", "constants",
      ]),
      eventLoopUtilization: () => ({ idle: 0, active: 0, utilization: 0 }),
      timerify: (f: unknown) => f,
    }, m, "node:perf_hooks"),
  // setFlagsFromString and queryObjects reach the whole process.
  v8: (m) => refuseRest(pick(m, ["serialize", "deserialize", "Serializer", "Deserializer", "DefaultSerializer", "DefaultDeserializer", "getHeapStatistics"]), m, "node:v8"),
};

const refusedNames = new Set([
  "child_process", "cluster", "dgram", "http2", "inspector", "inspector/promises", "readline", "readline/promises", "repl", "sqlite", "test",
  "trace_events", "vm", "wasi", "worker_threads", "ffi", "sea", "domain",
]);

/** Makes the modules available by name, before author code is loaded. */
export function registerNodeModules(process: Exports, console: object, bundle: string, flags: Record<string, boolean>): Modules {
  disarmHandles();
  for (const [name, make] of Object.entries(cut)) register(`node:${name}`, () => withDefault(make(builtin(name))));
  register("node:process", () => withDefault(process));
  register("node:console", () => withDefault(Object.assign(Object.create(console) as Exports, console, pick(builtin("console"), ["Console"]))));
  register("node:timers", () => withDefault(timersModule()));
  register("node:timers/promises", () => withDefault(timerPromises()));
  register("node:os", () => withDefault(osModule()));
  register("node:module", () => withDefault(moduleModule()));
  register("node:sys", () => withDefault(builtin("util")));
  register("node:constants", () => withDefault({ ...(builtin("os")["constants"] as Exports), ...builtin("constants") }));
  process["getBuiltinModule"] = (name: unknown) => find(`${name}`);
  register("node:tty", () => withDefault(refuseRest({ isatty: () => false }, builtin("tty"), "node:tty")));
  register("node:diagnostics_channel", () => withDefault(channels(builtin("diagnostics_channel"))));
  const files = new VirtualFiles(bundle);
  register("node:fs", () => withDefault(files.module()));
  register("node:fs/promises", () => withDefault(files.promises()));
  return {
    plain,
    has: (name, prefixed) => {
      if (flags["nodejs_compat_v2"] === true) return true;
      if (flags["nodejs_compat"] === true) return prefixed;
      return flags["nodejs_als"] === true && prefixed && name === "async_hooks";
    },
    refused: (name) => (refusedNames.has(name) ? refusedModule(name) : undefined),
  };
}

function builtin(name: string): Exports {
  return nativeProcess.getBuiltinModule(name as "path") as unknown as Exports;
}

function withDefault(exports: Exports): Exports {
  return { ...exports, default: exports };
}

function pick(m: Exports, names: string[]): Exports {
  return Object.fromEntries(names.filter((n) => n in m).map((n) => [n, m[n]]));
}

function without(m: Exports, names: string[], module: string): Exports {
  const left: Exports = {};
  for (const name of Object.keys(m)) left[name] = names.includes(name) ? refusal(module, name) : m[name];
  return left;
}

/** Importable, and of little use. */
function refusedModule(name: string): Exports {
  const real = builtin(onlyPrefixed.has(name) ? `node:${name}` : name);
  return withDefault(refuseRest(harmless[name] ?? {}, real, `node:${name}`));
}

const onlyPrefixed = new Set(["test", "sqlite", "sea", "ffi"]);

function timersModule(): Exports {
  const { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate } = timers;
  return { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate, promises: timerPromises() };
}

function timerPromises(): Exports {
  return {
    setTimeout: async (delay?: number, value?: unknown, options?: { signal?: AbortSignal }) => {
      await timers.wait(delay ?? 0, options);
      return value;
    },
    setImmediate: async (value?: unknown, options?: { signal?: AbortSignal }) => {
      await timers.wait(0, options);
      return value;
    },
    setInterval: async function* (delay?: number, value?: unknown, options?: { signal?: AbortSignal }) {
      for (;;) {
        await timers.wait(delay ?? 0, options);
        yield value;
      }
    },
    scheduler: { wait: timers.wait, yield: () => timers.wait(0) },
  };
}

/** The machine is none of the author's business. */
function osModule(): Exports {
  const real = builtin("os");
  const own = {
    EOL: "\n",
    arch: () => "x64",
    availableParallelism: () => 1,
    constants: real["constants"],
    cpus: () => [],
    devNull: "/dev/null",
    endianness: () => "LE",
    freemem: () => 0,
    getPriority: () => 0,
    homedir: () => "/tmp",
    hostname: () => "localhost",
    loadavg: () => [0, 0, 0],
    machine: () => "x86_64",
    networkInterfaces: () => ({}),
    platform: () => "linux",
    release: () => "",
    tmpdir: () => "/tmp",
    totalmem: () => 0,
    type: () => "Linux",
    uptime: () => 0,
    userInfo: () => ({ username: "worker", uid: 0, gid: 0, shell: null, homedir: "/tmp" }),
    setPriority: () => {},
    version: () => "",
  };
  return refuseRest(own, real, "node:os");
}

const taken = [...plain, ...Object.keys(cut), "process", "console", "timers", "timers/promises", "os", "module", "sys", "constants", "tty", "diagnostics_channel", "fs", "fs/promises"];

/** `require` of what could be imported anyway: bundles of CommonJS code ask for it. */
function moduleModule(): Exports {
  const own = {
    builtinModules: taken,
    isBuiltin: (name: string) => taken.includes(`${name}`.replace(/^node:/, "")),
    createRequire: () => (specifier: string) => {
      const found = find(`${specifier}`);
      if (found === undefined) throw new Error(`No such module "${specifier}".`);
      return found;
    },
  };
  return refuseRest(own, builtin("module"), "node:module");
}

function find(specifier: string): unknown {
  const name = specifier.replace(/^node:/, "");
  if (plain.has(name)) return builtin(name);
  return taken.includes(name) ? take(`node:${name}`)["default"] : undefined;
}

/** Node publishes its own sockets and requests on channels; those are not for authors. */
function channels(m: Exports): Exports {
  const own = /^(undici:|net\.|http\.|http2\.|tls\.|child_process|module\.|process|worker_threads|tracing:|fs\.|console\.|inspector\.|dgram|udp)/;
  const safe = (name: unknown): unknown => (typeof name === "string" && own.test(name) ? `author:${name}` : name);
  const wrap = (key: string) => (name: unknown, ...rest: unknown[]) => (m[key] as (...a: unknown[]) => unknown)(safe(name), ...rest);
  return {
    channel: wrap("channel"),
    hasSubscribers: wrap("hasSubscribers"),
    subscribe: wrap("subscribe"),
    unsubscribe: wrap("unsubscribe"),
    tracingChannel: wrap("tracingChannel"),
    Channel: m["Channel"],
  };
}

