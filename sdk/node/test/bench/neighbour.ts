/*
 * What does an echo notice of others whose turns take longer? Run by hand:
 *   node test/bench/neighbour.ts [writers] [seconds]
 */

import { performance } from "node:perf_hooks";
import { Host } from "../support/host.ts";

const source = `
export class Writer {
  constructor(ctx) { this.ctx = ctx; this.sql = ctx.storage.sql; this.sql.exec("CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, b TEXT)"); }
  webSocketMessage(ws, message) { this.sql.exec("INSERT INTO t (b) VALUES (?)", message); ws.send("done"); }
}
export class Echo {
  constructor(ctx) {}
  webSocketMessage(ws, message) { ws.send(message); }
}
export default {};
`;

const [writers = 50, seconds = 3] = process.argv.slice(2).map(Number);
await using host = await Host.start({ source, classes: ["Writer", "Echo"] });
const id = (o: number) => o.toString(16).padStart(64, "0");
const socket = (o: number) => o * 0x100000000;
host.write((f) => {
  for (let o = 1; o <= writers; o++) f.start({ object: o, classIndex: 0, id: id(o), sockets: 1 }).sockets(o, [{ socket: socket(o) }]);
  const o = writers + 1;
  f.start({ object: o, classIndex: 1, id: id(o), sockets: 1 }).sockets(o, [{ socket: socket(o) }]);
});
await host.next((s) => s.type === "started" && s.object === writers + 1);

const echo = socket(writers + 1);
const took: number[] = [];
let written = 0;
let asked = performance.now();
host.onSaid = (s) => {
  if (s.type !== "send") return;
  if (s.socket === echo) {
    took.push(performance.now() - asked);
    asked = performance.now();
    host.write((f) => f.message(echo, "is anybody there?"));
  } else {
    written++;
    host.write((f) => f.message(s.socket, "insert"));
  }
};
host.write((f) => {
  for (let o = 1; o <= writers; o++) f.message(socket(o), "insert");
  f.message(echo, "is anybody there?");
});
await new Promise((r) => setTimeout(r, 1000 * seconds));
took.sort((x, y) => x - y);
const at = (q: number) => (1000 * (took[Math.floor(q * took.length)] ?? 0)).toFixed(0);
console.log(`${writers} writers: ${(written / seconds).toFixed(0)} inserts/s, ${(took.length / seconds).toFixed(0)} echoes/s, p50 ${at(0.5)} µs, p90 ${at(0.9)}, p99 ${at(0.99)}`);
process.exit(0);
