import assert from "node:assert/strict";
import { test } from "node:test";
import { Host } from "./support/host.ts";

test("functions are made of strings while the Worker is loaded, and not after", async () => {
  await using host = await Host.start({
    source: `
      const outcome = (f) => { try { return f(); } catch (e) { return e.name; } };
      const Kept = Function, add = new Function("a", "b = 2", "return a + b");
      await scheduler.wait(1);
      const startup = {
        add: add(1), called: Function("return this === globalThis")(), applied: Function.apply(null, ["x", "return x"])(9), constructor: (() => {}).constructor("return 4")(),
        text: String(add), empty: String(new Function()), is: Function.prototype.constructor === Function && add instanceof Function,
        broken: outcome(() => new Function("}{")), closing: outcome(() => new Function("}), (function () {")),
      };
      const imported = new Function("return import('node:fs')");
      export default { async fetch() {
        const later = [() => new Function("return 1"), () => Kept("return 1"), () => (() => {}).constructor("return 1"), () => eval("1"), () => (0, eval)("1")].map(outcome);
        return Response.json({ startup, later, add: add(5), is: Function === (() => {}).constructor && Function !== Kept, imported: await imported().then(() => "a module", (e) => e.code) });
      } };`,
  });
  host.write((f) => f.request({ exchange: 2 }));
  await host.next((s) => s.type === "bodyEnd" || s.type === "failure");
  assert.deepEqual(host.of("failure"), []);
  assert.deepEqual(JSON.parse(Buffer.concat(host.of("body").map((b) => b.data)).toString()), {
    startup: {
      add: 3, called: true, applied: 9, constructor: 4,
      text: "function anonymous(a,b = 2\n) {\nreturn a + b\n}", empty: "function anonymous(\n) {\n\n}", is: true,
      broken: "SyntaxError", closing: "SyntaxError",
    },
    later: ["EvalError", "EvalError", "EvalError", "EvalError", "EvalError"],
    add: 7, is: true, imported: "ERR_VM_DYNAMIC_IMPORT_CALLBACK_MISSING",
  });
});
