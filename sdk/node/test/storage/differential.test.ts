// Plays every scenario here and compares what is seen with what workerd showed. What is recorded in
// `recorded/` is enough; if workerd itself is at hand the recording is checked against it first.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { TestFolder, type TestObject } from "./host.ts";
import { checkLabels, runStep } from "./kit/run.js";
import { scenarios } from "./kit/scenarios.js";
import { record, recordings } from "./record.ts";
import { findWorkerd, type Seen, Workerd } from "./workerd.ts";

const recorded: Record<string, Seen[]> = JSON.parse(
  readFileSync(recordings.scenarios, "utf8"),
);

/** Values that are another one each time they are asked. */
const changing = /reference = [0-9a-z]+/g;

test("the recording is what workerd answers", { skip: findWorkerd() === undefined && "no workerd here" }, async () => {
  const workerd = await Workerd.start(findWorkerd()!);
  const now = await record(workerd).finally(() => workerd.stop());
  assert.deepEqual(
    JSON.parse(JSON.stringify(now).replaceAll(changing, "")),
    JSON.parse(JSON.stringify(recorded).replaceAll(changing, "")),
  );
});

for (const scenario of scenarios as Scenario[]) {
  test(`as workerd: ${scenario.name}`, async () => {
    await using folder = new TestFolder();
    const object = folder.object({ sqlEnabled: scenario.backend !== "kv", alarmHandler: scenario.backend !== "plain" });
    const steps: Seen[] = [];
    let mem: Record<string, unknown> = { alarms: [] };
    for (let i = 0; i < scenario.steps.length; i++) {
      steps.push(await play(object, scenario, i, mem));
      if (object.broken_ === null) continue;
      object.start();
      mem = { alarms: [] };
    }
    object.storage.close();
    checkLabels(scenario, steps);
    compare(scenario, steps, recorded[scenario.name]!);
  });
}

test("there are enough observations, and few that differ", () => {
  const count = Object.values(recorded).flat(2).length;
  const differing = (scenarios as Scenario[]).flatMap((s) => Object.keys(s.differs ?? {})).length;
  assert.ok(count >= 800, `${count} observations`);
  assert.ok(differing * 10 <= count, `${differing} of ${count} differ`);
});

interface Scenario {
  name: string;
  backend: string;
  differs?: Record<string, string>;
  steps: unknown[];
}

/** One step as one event; alarms that are due afterwards ring before the next one. */
async function play(object: TestObject, scenario: Scenario, step: number, mem: any): Promise<Seen> {
  const seen = await object.event(({ api }) => runStep(scenario, step, api, mem)) as Seen;
  if (object.broken_ !== null) return [["(event)", "fails 500: Internal Server Error"]];
  const start = object.storage.startAlarm(Date.now());
  if (start.due !== null) {
    await object.event(async ({ api, storage }) => {
      mem.alarms.push({ isRetry: false, retryCount: 0, scheduledTime: start.due });
      await mem.onAlarm?.(api);
      storage.finishAlarm(true);
    });
  }
  return seen;
}

/** Every observation is the same, or said to differ and does. */
function compare(scenario: Scenario, here: Seen[], there: Seen[]): void {
  const differs: Record<string, string> = { ...scenario.differs };
  const wrong: string[] = [];
  there.forEach((expected, i) => {
    const got = new Map(here[i]);
    // Where one side lost the whole event there is only that to compare.
    const labels = new Set([...got.keys(), ...expected.map(([label]) => label)]);
    const want = new Map(expected);
    const lost = want.has("(event)") !== got.has("(event)") && "(event)" in differs;
    for (const label of lost ? [] : labels) {
      const [g, w] = [got.get(label)?.replaceAll(changing, ""), want.get(label)?.replaceAll(changing, "")];
      const known = label in differs;
      if ((g === w) === known) wrong.push(`step ${i}, ${label}${known ? " (said to differ)" : ""}\n  workerd  ${w}\n  Dormouse ${g}`);
      if (known) delete differs[label];
    }
  });
  assert.equal(wrong.length, 0, `\n${wrong.join("\n")}`);
}
