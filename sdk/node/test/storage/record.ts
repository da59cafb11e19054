// Asks workerd what it answers to every scenario and writes it to `recorded/`: run by hand,
//   node test/storage/record.ts
// when a scenario is added or workerd is newer. The diff of the recording is the review.

import { writeFileSync } from 'node:fs';
import { checkLabels } from './kit/run.js';
import { scenarios } from './kit/scenarios.js';
import { findWorkerd, type Seen, Workerd } from './workerd.ts';

/** Plays every scenario on a fresh workerd. */
export async function record(binary: string): Promise<Record<string, Seen[]>> {
  const workerd = await Workerd.start(binary);
  const recorded: Record<string, Seen[]> = {};
  try {
    for (const scenario of scenarios) {
      const steps: Seen[] = [];
      for (let i = 0; i < scenario.steps.length; i++) {
        steps.push(await workerd.play(scenario.backend, scenario.name, scenario.name, i));
      }
      checkLabels(scenario, steps);
      recorded[scenario.name] = steps;
    }
  } finally {
    await workerd.stop();
  }
  return recorded;
}

if (import.meta.main) {
  const binary = findWorkerd();
  if (binary === undefined) throw new Error('no workerd: set WORKERD_BIN or run "npm ci" in tools');
  const recorded = await record(binary);
  const path = new URL('./recorded/workerd-1.20261117.1.json', import.meta.url);
  writeFileSync(path, `${JSON.stringify(recorded, null, 1)}\n`);
  const count = Object.values(recorded).flat(2).length;
  console.log(`${Object.keys(recorded).length} scenarios, ${count} observations`);
}
