// What people put in front of their objects, and into them: routers, validators,
// GraphQL, tokens, documents.
import assert from "node:assert/strict";
import { test } from "node:test";

import superjson from "superjson";

import { serve } from "../support/harness.js";

test("frameworks", async (t) => {
  const world = await serve(t, import.meta.url);
  const ask = (path, init) => fetch(`${world.url}${path}`, init);
  const text = async (path, init) => (await ask(path, init)).text();
  const json = async (path, init) => (await ask(path, init)).json();
  const post = (body, headers = { "content-type": "application/json" }) => ({ method: "POST", headers, body });
  const graph = (query, headers = {}) => ask("/graphql", post(JSON.stringify({ query }), { "content-type": "application/json", ...headers }));

  await t.test("graphql-yoga", async () => {
    assert.deepEqual(await (await graph("mutation { add(n: 2) }")).json(), { data: { add: 2 } });
    const events = await graph("subscription { count(to: 3) }", { accept: "text/event-stream" });
    assert.match(events.headers.get("content-type"), /^text\/event-stream/);
    const data = [...(await events.text()).matchAll(/^data: (\{.*)$/gm)].map((m) => JSON.parse(m[1]).data.count);
    assert.deepEqual(data, [1, 2, 3]);
    assert.match((await (await graph("{ nothing }")).json()).errors[0].message, /Cannot query field "nothing"/);
    await world.object("frameworks-Yoga", "name:main").asleep();
    assert.deepEqual(await (await graph("mutation { add(n: 3) }")).json(), { data: { add: 5 } });
  });

  await t.test("hono: middleware, validators, streams, cookies", async () => {
    const first = await ask("/hono/tagged");
    assert.equal(first.headers.get("access-control-allow-origin"), "*");
    assert.equal((await ask("/hono/tagged", { headers: { "if-none-match": first.headers.get("etag") } })).status, 304);
    assert.match(await text("/hono/events"), /^data: event 0\nid: 0\n\ndata: event 1/);
    assert.equal(await text("/hono/parts"), "part 0;part 1;part 2;");
    assert.deepEqual(await json("/hono/valid", post('{"name":"Ada"}')), { hello: "Ada" });
    assert.equal((await ask("/hono/valid", post('{"name":"A"}'))).status, 400);
    const form = new FormData();
    form.append("title", "ü");
    form.append("file", new File(["content"], "n.txt", { type: "text/x" }));
    assert.deepEqual(await json("/hono/upload", { method: "POST", body: form }), ["ü", "n.txt", "text/x", "content"]);
    const cookies = await ask("/hono/cookie", { headers: { cookie: "seen=before" } });
    assert.deepEqual([await cookies.text(), cookies.headers.getSetCookie()], ["before", ["seen=yes; Path=/; HttpOnly", "again=too; Path=/"]]);
    const token = await text("/hono/token");
    assert.equal(await text("/hono/me", { headers: { authorization: `Bearer ${token}` } }), "ada");
    assert.equal((await ask("/hono/me", { headers: { authorization: `Bearer ${token}x` } })).status, 401);
    assert.equal(await text("/hono/door", { headers: { authorization: `Basic ${btoa("u:p")}` } }), "in");
    assert.equal((await ask("/hono/door")).status, 401);
    assert.equal((await ask("/hono/short", post("more than ten"))).status, 413);
    assert.equal(await text("/hono/throws"), "handled: thrown");
  });

  await t.test("jose", async () => {
    for (const [alg, kty] of [["ES256", "EC"], ["RS256", "RSA"], ["PS256", "RSA"], ["EdDSA", "OKP"]]) {
      assert.deepEqual(await json(`/jose/${alg}`), [1, 2, kty, "-----BEGIN PUBLIC KEY-----"]);
    }
  });

  await t.test("effect", async () => {
    assert.deepEqual(await json("/effect", post('{"name":"Ada","age":36}')), { name: "Ada", age: 36, all: [1, 2] });
    assert.equal(await json("/effect", post('{"name":"Ada"}')), "refused");
  });

  await t.test("automerge", async () => {
    assert.deepEqual(await json("/automerge/one"), { notes: ["one"], changes: 2 }); // making it was the first
    await world.object("frameworks-Notes", "name:main").asleep();
    assert.deepEqual(await json("/automerge/two"), { notes: ["one", "two"], changes: 3 });
  });

  await t.test("superjson", async () => {
    const value = { at: new Date(0), seen: new Map([["a", new Set([1n])]]), nothing: undefined };
    await text("/superjson", post(superjson.stringify(value), {}));
    await world.object("frameworks-Notes", "name:main").asleep();
    assert.deepEqual(superjson.parse(await text("/superjson", post("", {}))), value);
  });
});
