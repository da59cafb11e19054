/*
 * What does a request cost in the guest? Run by hand:
 *   node test/bench/http.ts [in flight] [seconds]
 * The figure is the guest's own CPU time per request.
 */

import fs from "node:fs";
import { HostFrames } from "../support/frames.ts";
import { Host } from "../support/host.ts";

const source = `
export class Room { fetch(request) { return new Response("hello"); } }
export default {
  async fetch(request) {
    const url = new URL(request.url);
    if (url.pathname === "/plain") return new Response("hello");
    if (url.pathname === "/json") return Response.json({ agent: request.headers.get("user-agent"), method: request.method });
    return new Response(await request.text());
  },
};`;

const [inFlight = 50, seconds = 3] = process.argv.slice(2).map(Number);

function cpu(pid: number): number {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(" ");
  return (Number(fields[13]) + Number(fields[14])) * 10_000; // µs
}

const headers: [string, string][] = [["Host", "example.com"], ["User-Agent", "bench"], ["Accept", "*/*"], ["Accept-Encoding", "gzip"], ["CF-Connecting-IP", "127.0.0.1"]];

for (const [name, path, object, body] of [["plain", "/plain", 0, false], ["json", "/json", 0, false], ["echo of a body", "/echo", 0, true], ["object", "/", 1, false]] as const) {
  await using host = await Host.start({ source, classes: ["Room"] });
  host.write((f) => f.start({ object: 1 }));
  await host.await("started");
  let done = 0;
  host.onSaid = (s) => {
    if (s.type === "bodyEnd") done++;
  };
  let exchange = 0;
  let sent = 0;
  const before = cpu(host.child.pid!);
  const start = Date.now();
  while (Date.now() - start < seconds * 1000) {
    const frames = new HostFrames();
    for (let i = 0; i < inFlight; i++) {
      exchange += 2;
      frames.request({ exchange, object, method: body ? "POST" : "GET", url: `http://example.com${path}`, headers, cf: "{}", body });
      if (body) frames.body(exchange, "a small body").bodyEnd(exchange);
    }
    host.raw(frames.take());
    sent += inFlight;
    while (sent - done > inFlight) await new Promise((r) => setImmediate(r));
  }
  while (done < sent) await new Promise((r) => setImmediate(r));
  const took = cpu(host.child.pid!) - before;
  console.log(`${name}: ${(took / sent).toFixed(1)} µs CPU per request, ${Math.round((sent / (Date.now() - start)) * 1000)}/s with this host`);
}
