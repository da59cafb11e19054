/*
 * The `process` that author code sees: what Workers have of it, and nothing
 * that reaches the real one.
 */

import { EventEmitter } from "node:events";
import { nextTick as tick } from "node:process";
import { nativeProcess } from "../native.ts";
import { standardStreams } from "./stdio.ts";

export function makeProcess(env: Record<string, string>): Record<string, unknown> {
  const refuse = (name: string) => () => {
    throw new Error(`process.${name}() is not available in a Worker.`);
  };
  const { versions, version, arch } = nativeProcess;
  const members = {
    title: "workerd",
    platform: "linux",
    arch,
    version,
    versions: { ...versions },
    release: { name: "node" },
    env,
    argv: ["workerd"],
    argv0: "workerd",
    execArgv: [],
    execPath: "",
    pid: 1,
    ppid: 0,
    exitCode: undefined,
    features: { ...nativeProcess.features },
    config: {},
    nextTick: (callback: (...args: unknown[]) => void, ...args: unknown[]) => tick(callback, ...args),
    cwd: () => "/bundle",
    chdir: refuse("chdir"),
    uptime: () => nativeProcess.uptime(),
    hrtime: Object.assign((since?: [number, number]) => nativeProcess.hrtime(since), { bigint: () => nativeProcess.hrtime.bigint() }),
    memoryUsage: Object.assign(() => ({ ...nativeProcess.memoryUsage() }), { rss: () => nativeProcess.memoryUsage().rss }),
    cpuUsage: () => nativeProcess.cpuUsage(),
    emitWarning: (warning: unknown) => console.warn(warning),
    umask: () => 0o22,
    getuid: () => 0,
    getgid: () => 0,
    geteuid: () => 0,
    getegid: () => 0,
    exit: refuse("exit"),
    abort: refuse("abort"),
    kill: refuse("kill"),
    getgroups: () => [0],
    ref: () => {},
    unref: () => {},
    hasUncaughtExceptionCaptureCallback: () => false,
    setSourceMapsEnabled: () => {},
    connected: false,
    [Symbol.toStringTag]: "process",
  };
  // A real emitter, of which nobody but the author emits anything.
  const process = Object.assign(Object.create(EventEmitter.prototype) as object, members);
  EventEmitter.call(process as unknown as EventEmitter);
  return standardStreams(process) as unknown as Record<string, unknown>;
}
