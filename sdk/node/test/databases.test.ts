// What host and guest tell each other about databases, in a real guest.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readlinkSync, statSync } from "node:fs";
import { test } from "node:test";
import { databasePath } from "./support/frames.ts";
import { Host } from "./support/host.ts";
import { step } from "../src/wire.ts";

const source = `
export class Room {
  constructor(ctx) { this.ctx = ctx; }
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/put") await this.ctx.storage.put("a", "x".repeat(Number(request.headers.get("size"))));
    const value = pathname === "/idle" ? undefined : await this.ctx.storage.get("a");
    return new Response(String(value?.length ?? 0));
  }
}`;

/** A room that has answered a request, and what it has answered. */
async function ask(host: Host, object: number, exchange: number, path: string, size = 10): Promise<string> {
  const from = host.said.length;
  host.write((f) => f.request({ exchange, object, url: `http://x${path}`, headers: [["size", String(size)]] }));
  const body = await host.next((s) => s.type === "body" && s.exchange === exchange, from);
  await host.next((s) => s.type === "bodyEnd" && s.exchange === exchange, from);
  return (body as { data: Buffer }).data.toString();
}

const start = (limits: Record<string, number> = {}) => Host.start({ source, classes: ["Room"], limits });

async function leave(host: Host, object: number, delivered: number): Promise<void> {
  const from = host.said.length;
  host.write((f) => f.hibernate(object, delivered));
  await host.next((s) => s.type === "asleep" && s.object === object, from);
}

const closed = (host: Host) => host.of("databaseClosed").map((s) => s.object);

test("a database stays open beyond the activation, and is given back under each", async () => {
  await using host = await start();
  host.write((f) => f.start({ object: 1 }));
  await ask(host, 1, 2, "/put");
  await leave(host, 1, 1);
  host.write((f) => f.start({ object: 2 }));
  assert.equal(await ask(host, 2, 4, "/get"), "10");
  await host.await("databaseClosed");
  assert.deepEqual(closed(host), [1]); // Activation 2 has it now.
  await leave(host, 2, 1);
  host.write((f) => f.closeDatabase(2));
  await host.next((s) => s.type === "databaseClosed" && s.object === 2);
  assert.ok(existsSync(`${databasePath(host.data)}-wal`));
  host.write((f) => f.closeDatabase(2).checkpoint(2, step.holdSnapshot)); // These have crossed.
  host.write((f) => f.start({ object: 3 }));
  assert.equal(await ask(host, 3, 6, "/get"), "10");
});

test("a database that was never opened is given back with the activation", async () => {
  await using host = await start();
  host.write((f) => f.start({ object: 1 }));
  await ask(host, 1, 2, "/idle");
  await leave(host, 1, 1);
  await host.await("databaseClosed");
  const order = host.said.map((s) => s.type);
  assert.ok(order.indexOf("databaseClosed") > order.indexOf("asleep"));
});

test("a database that is to be closed stays open while an instance uses it", async () => {
  await using host = await start();
  host.write((f) => f.start({ object: 1 }));
  await ask(host, 1, 2, "/put");
  host.write((f) => f.closeDatabase(1));
  assert.equal(await ask(host, 1, 4, "/get"), "10");
  assert.deepEqual(closed(host), []);
  await leave(host, 1, 2);
  await host.await("databaseClosed");
});

test("those that nobody uses are bounded", async () => {
  await using host = await start({ openDatabases: 2 });
  for (let n = 1; n <= 5; n++) {
    host.write((f) => f.start({ object: n, id: String(n).repeat(64) }));
    await ask(host, n, 2 * n, "/put");
    await leave(host, n, 1);
  }
  await host.next((s) => s.type === "databaseClosed" && s.object === 3);
  assert.deepEqual(closed(host), [1, 2, 3]);
});

test("a checkpoint moves when it is told to, and not before", async () => {
  await using host = await start();
  const file = databasePath(host.data);
  host.write((f) => f.start({ object: 1 }));
  await ask(host, 1, 2, "/put", 100_000);
  host.write((f) => f.checkpoint(1, step.holdSnapshot));
  await host.await("snapshotHeld");
  assert.equal(statSync(file).size, 4096);
  host.write((f) => f.checkpoint(1, step.endSnapshot));
  assert.deepEqual(await host.await("checkpointed"), { type: "checkpointed", object: 1, frames: 0 });
  assert.equal(statSync(file).size, 4096);
  host.clear();
  host.write((f) => f.checkpoint(1, step.holdSnapshot));
  await host.await("snapshotHeld");
  host.write((f) => f.checkpoint(1, step.moveFrames));
  assert.ok((await host.await("checkpointed")).frames > 20);
  assert.ok(statSync(file).size > 100_000);
});

test("a checkpoint outlives its activation, which is given back when it is over", async () => {
  await using host = await start({ openDatabases: 1 });
  host.write((f) => f.start({ object: 1 }));
  await ask(host, 1, 2, "/put");
  host.write((f) => f.checkpoint(1, step.holdSnapshot));
  await host.await("snapshotHeld");
  await leave(host, 1, 1);
  host.write((f) => f.closeDatabase(1));
  host.write((f) => f.start({ object: 2, id: "2".repeat(64) }));
  await ask(host, 2, 4, "/put");
  assert.deepEqual(closed(host), []);
  host.write((f) => f.checkpoint(1, step.moveFrames));
  await host.await("checkpointed");
  await host.await("databaseClosed");
  assert.deepEqual(closed(host), [1]);
});

test("where there is nothing to move a checkpoint ends at once", async () => {
  await using host = await start();
  host.write((f) => f.start({ object: 1 }));
  await ask(host, 1, 2, "/idle");
  host.write((f) => f.checkpoint(1, step.holdSnapshot));
  assert.equal((await host.await("checkpointed")).frames, 0);
  assert.equal(host.stderr, "");
});

test("a step of a checkpoint that has not begun ends the guest", async () => {
  await using host = await start();
  host.write((f) => f.start({ object: 1 }));
  await ask(host, 1, 2, "/put");
  host.write((f) => f.checkpoint(1, step.moveFrames));
  await host.exited;
  assert.match(host.stderr, /step 1 of a checkpoint of object 1 that has not begun/);
});

test("a guest that ends leaves its WALs as they are", { skip: !existsSync("/proc/self/fd") }, async () => {
  await using host = await start();
  const file = databasePath(host.data);
  host.write((f) => f.start({ object: 1 }));
  await ask(host, 1, 2, "/put", 100_000);
  const open = readdirSync(`/proc/${host.child.pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${host.child.pid}/fd/${fd}`);
    } catch {
      return "";
    }
  });
  assert.equal(open.filter((path) => path.startsWith(file)).length, 3);
  host.write((f) => f.checkpoint(1, step.holdSnapshot)); // The keeper's thread ends in the middle of its work.
  await host.await("snapshotHeld");
  host.write((f) => f.shutdown(1));
  assert.equal(await host.exited, 0);
  assert.equal(statSync(file).size, 4096);
  assert.ok(statSync(`${file}-wal`).size > 100_000);
});

test("an object that may keep nothing is told so", async () => {
  await using host = await start();
  host.write((f) => f.start({ object: 1 }));
  (host as { data: string }).data = "";
  host.write((f) => f.start({ object: 2 }).request({ exchange: 2, object: 2, url: "http://x/put", headers: [["size", "1"]] }));
  const { error } = await host.await("aborted");
  assert.match(error.message, /has not said where the object's data may be kept/);
});
