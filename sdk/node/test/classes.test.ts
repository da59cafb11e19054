import assert from "node:assert/strict";
import { test } from "node:test";
import { defines, extending } from "../src/classes.ts";
import { Host } from "./support/host.ts";

class Base {
  alarm(): void {}
}

class Child extends Base {}

/** As tracing libraries wrap a class: the trap answers for what it knows, and for nothing else. */
function wrapped<C extends object>(c: C): C {
  return new Proxy(c, { get: () => undefined });
}

test("a class shows what it extends and defines, also from inside a Proxy", () => {
  assert.deepEqual([Child, Base, wrapped(Child), class {}, {}, null].map((c) => extending(c, Base)), [true, true, true, false, false, false]);
  assert.deepEqual([Child, class {}, wrapped(Child), () => {}].map((c) => defines(c, "alarm")), [true, false, undefined, false]);
});

test("a class that is a Proxy without a prototype serves, has its alarm and its methods", async () => {
  await using host = await Host.start({
    source: `
      import { DurableObject } from "cloudflare:workers";
      class Inside extends DurableObject {
        async fetch() { await this.ctx.storage.setAlarm(Date.now() + 1e6); return new Response("served " + (await this.ctx.storage.getAlarm() > 0)); }
        alarm() {}
      }
      export const Room = new Proxy(Inside, { get: () => undefined, construct: (c, args) => new c(...args) });
      export default {};`,
    classes: ["Room"],
  });
  host.write((f) => f.start({ object: 1 }).request({ exchange: 2, object: 1 }));
  await host.next((s) => s.type === "bodyEnd" || s.type === "failure");
  assert.deepEqual(host.of("failure"), []);
  assert.equal(Buffer.concat(host.of("body").map((b) => b.data)).toString(), "served true");
});
