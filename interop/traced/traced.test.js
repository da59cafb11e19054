// Classes that a tracing library has wrapped, and the spans that it sends.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { json } from "node:stream/consumers";
import { test } from "node:test";

import { event, Inbox, serve, until, withSecrets } from "../support/harness.js";

test("@microlabs/otel-cf-workers", async (t) => {
  const spans = [];
  const collector = createServer(async (request, response) => {
    for (const r of (await json(request)).resourceSpans) for (const s of r.scopeSpans) spans.push(...s.spans.map((x) => x.name));
    response.end("{}");
  }).listen(0, "127.0.0.1");
  await once(collector, "listening");
  t.after(() => collector.close());
  const world = await serve(t, import.meta.url, await withSecrets(t, { COLLECTOR: `http://127.0.0.1:${collector.address().port}/v1/traces` }));
  const visit = async () => (await fetch(world.url)).json();

  assert.deepEqual(await visit(), { visits: 1, last: "visit 1", keys: ["visits"] });
  const socket = world.watch(new WebSocket(world.ws), "listener");
  t.after(() => socket.close());
  await event(socket, "open");
  const inbox = new Inbox(socket, (e) => e.data);
  await world.overSleep(world.object("traced-Room", "name:main"), async () => {
    socket.send("you");
    await inbox.take("the answer", (m) => m === "heard you");
  }, { crash: true });
  assert.equal((await visit()).visits, 2);
  const wanted = ["fetchHandler", "durable_object:Room", "do.fetchHandler:main", "kv:Names:put"];
  await until("the spans have come", () => wanted.every((name) => spans.includes(name)));
});
