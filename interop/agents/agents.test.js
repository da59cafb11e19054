// The agents SDK with its own client.
import assert from "node:assert/strict";
import { test } from "node:test";

import { AgentClient, agentFetch } from "agents/client";

import { serve, until } from "../support/harness.js";

test("agents: state, calls and a schedule over two sleeps", async (t) => {
  const world = await serve(t, import.meta.url);
  const open = async (name) => {
    const client = world.watch(new AgentClient({ agent: "counter", name: "main", host: world.host }), name);
    t.after(() => client.close());
    await client.ready;
    return client;
  };
  const [a, b] = [await open("a"), await open("b")];
  const both = (what, is) => until(what, () => is(a.state ?? {}) && is(b.state ?? {}));

  assert.deepEqual(await a.call("add", [5]), { n: 5, rows: 1 });
  await both("both have the new state", (s) => s.n === 5);
  b.setState({ ...b.state, n: 40 });
  await until("a has the state of b", () => a.state.n === 40);
  const chunks = [];
  const end = await a.call("count", [3], { onChunk: (c) => chunks.push(c) });
  assert.deepEqual([chunks, end], [[1, 2, 3], "done"]);
  await assert.rejects(a.call("fails"), /cannot/);

  // Asleep, with both sockets connected, until the alarm of the schedule. A slow
  // machine takes more than one try until it sleeps before the time has come.
  const object = world.object("agents-Counter", "name:main");
  let ticks;
  for (const seconds of [2, 8, 30]) {
    ticks = a.state.ticks + 1;
    await b.call("remind", [seconds]);
    await object.asleep();
    if (a.state.ticks < ticks) break;
  }
  await world.overSleep(object, () => both("the schedule has run", (s) => s.ticks === ticks && s.n === 40));
  await world.overSleep(object, async () => {
    assert.deepEqual(await a.call("add", [2]), { n: 42, rows: 2 });
    await until("b has the new state", () => b.state.n === 42);
  }, { crash: true });

  const answer = await agentFetch({ agent: "counter", name: "main", host: world.host });
  assert.deepEqual(await answer.json(), { method: "GET", name: "main", state: { n: 42, ticks, from: "schedule" } });
  world.noCloses();
});
