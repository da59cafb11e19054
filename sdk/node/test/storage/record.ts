// Asks workerd what it answers to every scenario and writes it to `recorded/`: run by hand,
//   node test/storage/record.ts
// when a scenario is added or workerd is newer. The diff of the recording is the review.

import { copyFileSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { checkLabels } from "./kit/run.js";
import { scenarios } from "./kit/scenarios.js";
import { findWorkerd, type Seen, Workerd } from "./workerd.ts";

export const recordings = {
  /** What each step of each scenario showed. */
  scenarios: new URL("./recorded/workerd-1.20261117.1.json", import.meta.url),
  /** Stored values by the kinds of scenarios/values.js, in hexadecimal. */
  values: new URL("./recorded/values.json", import.meta.url),
  /** A database file as workerd leaves it: that of scenario "files: everything". */
  file: new URL("./recorded/everything.sqlite", import.meta.url),
};

/** Plays every scenario on a fresh workerd, which goes on running. */
export async function record(workerd: Workerd): Promise<Record<string, Seen[]>> {
  const recorded: Record<string, Seen[]> = {};
  for (const scenario of scenarios) {
    const steps: Seen[] = [];
    for (let i = 0; i < scenario.steps.length; i++) {
      steps.push(await workerd.play(scenario.backend, scenario.name, scenario.name, i));
    }
    checkLabels(scenario, steps);
    recorded[scenario.name] = steps;
  }
  return recorded;
}

/** The values that the scenarios of values.js have stored in files of workerd. */
function storedValues(files: string[]): Record<string, string> {
  const stored: Record<string, string> = {};
  for (const file of files) {
    using db = new DatabaseSync(file);
    const tables = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = '_cf_KV'").all();
    const rows = tables.length > 0 ? db.prepare("SELECT key, value FROM _cf_KV").all() : [];
    // Those two scenarios store a kind under its name, and this key besides.
    if (!rows.some((row) => row["key"] === "p")) continue;
    for (const { key, value } of rows) if (key !== "p") stored[String(key)] = Buffer.from(value as Uint8Array).toString("hex");
  }
  return stored;
}

/** The file of the object whose tables say what it is. */
function everything(files: string[]): string {
  for (const file of files) {
    using db = new DatabaseSync(file);
    if (db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'everything'").all().length === 0) continue;
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    return file;
  }
  throw new Error("workerd has written no file with a table called everything");
}

if (import.meta.main) {
  const binary = findWorkerd();
  if (binary === undefined) throw new Error('no workerd: set WORKERD_BIN or run "npm ci" in tools');
  const workerd = await Workerd.start(binary);
  try {
    const recorded = await record(workerd);
    const count = Object.values(recorded).flat(2).length;
    console.log(`${Object.keys(recorded).length} scenarios, ${count} observations`);
    writeFileSync(recordings.scenarios, `${JSON.stringify(recorded, null, 1)}\n`);
  } finally {
    await workerd.stop(true);
  }
  const files = workerd.databases("sql");
  writeFileSync(recordings.values, `${JSON.stringify(storedValues(files), null, 1)}\n`);
  copyFileSync(everything(files), recordings.file);
  workerd.remove();
}
