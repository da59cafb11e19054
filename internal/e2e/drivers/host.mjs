// What every driver shares: where the room is, the packages of tools/, and the
// one question that only the test can answer.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

/** Loads a package of tools/node_modules, which no folder above this one is. */
export const load = createRequire(new URL("../../../tools/package.json", import.meta.url));

export const url = process.env.CHAT_URL;
export const room = process.env.CHAT_ROOM;

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Returns when the room has left memory, if everybody is quiet until then. */
export async function untilAsleep() {
  process.stdout.write(JSON.stringify({ quiet: true }) + "\n");
  const { done } = await answers.next();
  if (done) throw new Error("the test has ended");
}

/** Lets the process end: the question's pipe would hold it. */
export function finish() {
  process.stdin.destroy();
}
