/*
 * What does a message cost in the guest? Run by hand:
 *   node test/bench/echo.ts [sockets] [in flight] [seconds]
 * The figure is the guest's own CPU time per message.
 */

import fs from "node:fs";
import { Host } from "../support/host.ts";
import { HostFrames } from "../support/frames.ts";

const source = `
export class Room {
  constructor(ctx) { this.ctx = ctx; }
  webSocketMessage(ws, message) { ws.send(message); }
}
export class Async {
  constructor(ctx) { this.ctx = ctx; }
  async webSocketMessage(ws, message) { ws.send(message); }
}
export default {};
`;

const [sockets = 100, inFlight = 32, seconds = 3] = process.argv.slice(2).map(Number);
const objects = Number(process.env["OBJECTS"] ?? 1);

function cpu(pid: number): number {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(" ");
  return (Number(fields[13]) + Number(fields[14])) * 10_000; // µs
}

for (const classIndex of [0, 1]) {
  await using host = await Host.start({ source, classes: ["Room", "Async"], nodeFlags: process.env["NODE_FLAGS"]?.split(" ") ?? [] });
  const ids: number[] = [];
  host.write((f) => {
    for (let o = 1; o <= objects; o++) {
      const rows = Array.from({ length: sockets }, (_, i) => ({ socket: o * 0x100000000 + i * 2 }));
      ids.push(...rows.map((r) => r.socket));
      f.start({ object: o, classIndex, sockets }).sockets(o, rows);
    }
  });
  await host.next((s) => s.type === "started" && s.object === objects);
  const batch = new HostFrames();
  for (let i = 0; i < inFlight; i++) for (const id of ids) batch.message(id, `hello, this is message ${i} ${id}`);
  const bytes = batch.take();
  const perBatch = inFlight * ids.length;
  let echoed = 0;
  let sent = 0;
  const pid = host.child.pid!;
  const before = cpu(pid);
  const start = Date.now();
  // Two batches on the way keep the guest busy.
  host.onSaid = (s) => {
    if (s.type === "send") echoed++;
    else if (s.type === "broadcast") echoed += s.sockets.length;
  };
  while (Date.now() - start < seconds * 1000) {
    host.raw(bytes);
    sent += perBatch;
    while (sent - echoed > perBatch) await new Promise((r) => setImmediate(r));
  }
  while (echoed < sent) await new Promise((r) => setImmediate(r));
  const took = cpu(pid) - before;
  const name = classIndex === 0 ? "sync handler " : "async handler";
  console.log(`${name} ${sockets} sockets × ${inFlight}, ${objects} objects: ${(took / sent).toFixed(2)} µs CPU per message, ${Math.round((sent / (Date.now() - start)) * 1000)} msg/s with this host`);
}
