import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Host } from "./support/host.ts";

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** What code that looks for a way out must see: a value, or the text of an error. */
const expected: Record<string, unknown> = {
  ...Object.fromEntries(
    ["child_process exec", "worker_threads Worker", "vm runInNewContext", "cluster fork", "inspector Session", "sqlite DatabaseSync", "repl start", "wasi WASI", "dgram createSocket", "http2 createServer", "trace_events createTracing"].map(
      (name) => [name, `! ${name.split(" ")[1]} of node:${name.split(" ")[0]} cannot be used in a Worker.`],
    ),
  ),
};

test("author code finds no way out", async (t) => {
  const outside = path.join(fs.mkdtempSync("/tmp/dormouse-outside-"), "secret.js");
  fs.writeFileSync(outside, "export default 'secret';");
  await using host = await Host.start({
    source: fs.readFileSync(here("isolation/escapes.js"), "utf8"),
    files: { "side.js": "export default 'side';", "text.txt": "a text", "bytes.bin": Buffer.from([1, 2, 3]), "value.json": '{"a":1}' },
    bindings: { vars: { OUTSIDE: outside, GUEST: here("../src/main.ts") } },
  });
  fs.symlinkSync(outside, path.join(host.folder, "bundle", "link.js"));
  host.write((f) => f.request({ exchange: 2 }));
  await host.next((s) => s.type === "bodyEnd" || s.type === "failure");
  assert.deepEqual(host.of("failure"), []);
  const answers = JSON.parse(Buffer.concat(host.of("body").map((b) => b.data)).toString()) as [string, unknown, unknown][];
  assert.ok(answers.length > 60);
  for (const [name, got, wanted] of answers) {
    await t.test(name, () => {
      const want = Object.hasOwn(expected, name) ? expected[name] : wanted;
      if (typeof want === "string" && want.startsWith("/") && want.endsWith("/")) assert.match(String(got), new RegExp(want.slice(1, -1)));
      else assert.deepEqual(got, want);
    });
  }
  // The guest is still there, and the host's stream is whole.
  host.clear();
  host.write((f) => f.request({ exchange: 4 }));
  await host.next((s) => s.type === "bodyEnd");
  fs.rmSync(path.dirname(outside), { recursive: true });
});
