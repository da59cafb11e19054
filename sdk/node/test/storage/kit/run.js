// Runs one step of one scenario against a storage and returns what was seen.
//
// A scenario is a story: a list of steps, each an event of its own (so each ends with the commit of
// its turn), all on one object. `t.see(label, f)` records what `f` returned or threw.
// Plain JavaScript: the same file runs in workerd, in Dormouse, and in the unit tests.

import { show, showThrown } from './show.js';

/** Runs step `index` of `scenario`; `mem` lives as long as the instance does. */
export async function runStep(scenario, index, storage, mem) {
  const seen = [];
  const see = (label, f) => {
    try {
      const result = f();
      if (typeof result?.then === 'function') {
        return result.then(
          (value) => { seen.push([label, show(value)]); return value; },
          (error) => { seen.push([label, showThrown(error)]); },
        );
      }
      seen.push([label, show(result)]);
      return result;
    } catch (error) {
      seen.push([label, showThrown(error)]);
    }
  };
  await scenario.steps[index]({ storage, see, mem });
  return seen;
}

/** Checks that labels are unique within a step, so that an observation can be named. */
export function checkLabels(scenario, steps) {
  steps.forEach((seen, i) => {
    const labels = seen.map(([label]) => label);
    const twice = labels.find((label, j) => labels.indexOf(label) !== j);
    if (twice !== undefined) throw new Error(`scenario "${scenario.name}", step ${i}: label "${twice}" used twice`);
  });
}
