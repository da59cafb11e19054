/*
 * How long does the first answer of an object take that is not in memory, in a
 * guest that has woken few or many? Run by hand:
 *   node test/bench/wake.ts [objects]
 */

import { performance } from "node:perf_hooks";
import { Host } from "../support/host.ts";

const source = `
export class Idle {
  constructor(ctx) {
    this.ctx = ctx;
    ctx.storage.kv.put("births", (ctx.storage.kv.get("births") ?? 0) + 1);
  }
  webSocketMessage(ws) { ws.send(String(this.ctx.storage.kv.get("births"))); }
}
export default {};
`;

const [objects = 100] = process.argv.slice(2).map(Number);
await using host = await Host.start({ source, classes: ["Idle"], nodeFlags: process.env["NODE_FLAGS"]?.split(" ") ?? [] });
let heard: () => void = () => {};
host.onSaid = (s) => {
  if (s.type === "send" || s.type === "asleep") heard();
};
const said = () => new Promise<void>((r) => (heard = r));
let number = 0;
for (let wave = 1; wave <= 8; wave++) {
  const took: number[] = [];
  for (let i = 0; i < objects; i++) {
    const object = ++number;
    const socket = object * 0x100000000;
    const id = (i + 1).toString(16).padStart(64, "0");
    const asked = performance.now();
    host.write((f) => f.start({ object, id, sockets: 1 }).sockets(object, [{ socket }]).message(socket, "births?"));
    await said();
    took.push(performance.now() - asked);
    host.write((f) => f.hibernate(object, 1, 0));
    await said();
  }
  took.sort((x, y) => x - y);
  console.log(`wave ${wave} of ${objects}: p50 ${(1000 * took[objects >> 1]!).toFixed(0)} µs`);
}
process.exit(0);
