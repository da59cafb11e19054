/*
 * Asks workerd the questions of probes.js and writes its answers beside them.
 * Run by hand when a question is added or workerd is newer:
 *   node test/surface/record.ts
 */

import fs from "node:fs";
import { fileURLToPath } from "node:url";
import { serve } from "../support/workerd.ts";

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

await using workerd = await serve({
  modules: { "worker.js": fs.readFileSync(here("worker.js"), "utf8"), "probes.js": fs.readFileSync(here("probes.js"), "utf8") },
  objects: { SELF: "Probe", OTHER: "Other" },
});
const answers = (await (await fetch(workerd.origin)).json()) as unknown[];
fs.writeFileSync(here("workerd-1.20261117.1.json"), `[\n${answers.map((a) => JSON.stringify(a)).join(",\n")}\n]\n`);
console.log(`${answers.length} answers`);
