import assert from "node:assert/strict";
import fs from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Host } from "../support/host.ts";
import { differs } from "./differs.ts";

type Answer = [name: string, answer: { value?: unknown; error?: string }];

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const recorded = JSON.parse(fs.readFileSync(here("workerd-1.20261117.1.json"), "utf8")) as Answer[];

test("the guest answers every question about the surface as workerd does", async (t) => {
  await using host = await Host.start({
    source: fs.readFileSync(here("worker.js"), "utf8"),
    files: { "probes.js": fs.readFileSync(here("probes.js")) },
    classes: ["Probe", "Other"],
    bindings: {
      namespaces: [
        { name: "SELF", class: 0, namespace: "test-Probe" },
        { name: "OTHER", class: 1, namespace: "test-Other" },
      ],
    },
  });
  host.write((f) => f.start({ object: 1, name: "probe" }).request({ exchange: 2, object: 1, url: "http://x/", cf: "{}" }));
  const response = await host.next((s) => s.type === "response" || s.type === "failure");
  assert.equal(response.type, "response", JSON.stringify(response));
  await host.await("bodyEnd");
  const ours = JSON.parse(Buffer.concat(host.of("body").map((b) => b.data)).toString()) as Answer[];
  const answers = new Map(ours);
  assert.equal(answers.size, recorded.length);
  for (const [name, theirs] of recorded) {
    await t.test(name, () => {
      const expected = Object.hasOwn(differs, name) ? differs[name]!.ours : theirs;
      assert.deepEqual(answers.get(name), expected);
      if (Object.hasOwn(differs, name)) assert.notDeepEqual(expected, theirs, "it no longer differs");
    });
  }
});
