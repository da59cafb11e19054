import assert from "node:assert/strict";
import { builtinModules } from "node:module";
import { test } from "node:test";
import { Host } from "./support/host.ts";

/** What the Worker's `fetch` answers, as JSON. */
async function answer(source: string): Promise<unknown> {
  await using host = await Host.start({ source });
  host.write((f) => f.request({ exchange: 2 }));
  await host.next((s) => s.type === "bodyEnd" || s.type === "failure");
  assert.deepEqual(host.of("failure"), []);
  return JSON.parse(Buffer.concat(host.of("body").map((b) => b.data)).toString());
}

test("each name that a module of Node's has can be imported", async () => {
  // A missing one keeps a library from loading that only mentions it. process and console show no more than Workers have.
  const names = builtinModules.filter((n) => !n.includes("_") && !["process", "console", "node:test/reporters", "diagnostics_channel", "wasi/preview1"].includes(n) && !n.includes("internal"));
  names.push("worker_threads");
  const real: Record<string, string[]> = {};
  for (const name of names) real[name] = Object.keys((await import(name.startsWith("node:") ? name : `node:${name}`)) as object).filter((k) => !k.includes(".") && k !== "module.exports");
  const missing = await answer(`
    const real = ${JSON.stringify(real)};
    export default { async fetch() {
      const missing = {};
      for (const [name, keys] of Object.entries(real)) {
        let there;
        try {
          there = Object.keys(await import(name.startsWith("node:") ? name : "node:" + name));
        } catch (e) {
          missing[name] = e.message;
          continue;
        }
        const lost = keys.filter((k) => !there.includes(k));
        if (lost.length > 0) missing[name] = lost;
      }
      return Response.json(missing);
    } };`);
  assert.deepEqual(missing, {});
});

test("modules that are of no use say that there is one process with one thread", async () => {
  const said = await answer(`
    import * as threads from "node:worker_threads";
    import cluster from "node:cluster";
    import * as http2 from "node:http2";
    import * as perf from "node:perf_hooks";
    import { Console } from "node:console";
    import { WriteStream } from "node:tty";
    import { open } from "node:fs/promises";
    import { Writable } from "node:stream";
    const thrown = (f) => { try { return f(); } catch (e) { return e.message; } };
    export default { async fetch() {
      const lines = [];
      new Console({ stdout: new Writable({ write: (text, _, done) => done(void lines.push(String(text))) }) }).log("to %s", "a stream");
      return Response.json({
        threads: [threads.isMainThread, threads.parentPort, threads.workerData, threads.threadId],
        marked: [threads.markAsUncloneable({}) ?? "done", thrown(() => new threads.Worker("x"))],
        cluster: [cluster.isPrimary, cluster.isWorker, thrown(() => cluster.fork())],
        http2: [http2.constants.HTTP2_HEADER_PATH, http2.constants.NGHTTP2_CANCEL, thrown(() => http2.connect("http://localhost"))],
        perf: [perf.eventLoopUtilization(), perf.timerify(() => 3)(), thrown(() => perf.monitorEventLoopDelay())],
        tty: thrown(() => new WriteStream(1)),
        open: await open("/tmp/x").catch((e) => e.code),
        lines,
      });
    } };`);
  const no = (what: string) => `${what} cannot be used in a Worker.`;
  assert.deepEqual(said, {
    threads: [true, null, null, 0],
    marked: ["done", no("Worker of node:worker_threads")],
    cluster: [true, false, no("fork of node:cluster")],
    http2: [":path", 8, no("connect of node:http2")],
    perf: [{ idle: 0, active: 0, utilization: 0 }, 3, no("monitorEventLoopDelay of node:perf_hooks")],
    tty: no("WriteStream of node:tty"),
    open: "ENOSYS",
    lines: ["to a stream\n"],
  });
});
