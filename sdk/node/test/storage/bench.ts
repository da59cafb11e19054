// How much does an operation cost, beside workerd? Run by hand:
//   node test/storage/bench.ts [filter]
// Microseconds per operation, the median of several runs and their spread; N operations in one event,
// so the cost of the event and of its commit (and of workerd's sync) is spread over them.

import { TestFolder } from "./host.ts";
import { benches } from "./kit/benches.js";
import { findWorkerd, Workerd } from "./workerd.ts";

const operations = 10_000;
const runs = 7;

const binary = findWorkerd();
const workerd = binary === undefined ? null : await Workerd.start(binary);
await using folder = new TestFolder();
const object = folder.object();
const filter = process.argv[2] ?? "";

console.log(`${"µs per operation".padEnd(36)}${"here".padStart(16)}${"workerd".padStart(18)}${"ratio".padStart(8)}`);
try {
  for (const [name, run] of Object.entries(benches) as [string, (storage: unknown, n: number) => unknown][]) {
    if (!name.includes(filter) && name !== "sql insert") continue;
    const here = await measure(async () => {
      const begun = performance.now();
      await object.event(({ api }) => run(api, operations));
      return performance.now() - begun;
    });
    const there = workerd === null ? null : await measure(() => workerd.bench("bench", name, operations));
    const ratio = there === null ? "" : (here.median / there.median).toFixed(2);
    console.log(name.padEnd(36) + show(here).padStart(16) + (there === null ? "" : show(there).padStart(18)) + ratio.padStart(8));
  }
} finally {
  await workerd?.stop();
}

interface Figure {
  median: number;
  low: number;
  high: number;
}

async function measure(run: () => Promise<number>): Promise<Figure> {
  await run();
  const taken: number[] = [];
  for (let i = 0; i < runs; i++) taken.push(await run() * 1000 / operations);
  taken.sort((a, b) => a - b);
  return { median: taken[runs >> 1]!, low: taken[0]!, high: taken.at(-1)! };
}

function show({ median, low, high }: Figure): string {
  return `${median.toFixed(2)} (${low.toFixed(1)}-${high.toFixed(1)})`;
}
