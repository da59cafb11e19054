// The other side of the differential test: reads values as objects written in
// JavaScript do, and writes them again. A line with a number and hexadecimal comes,
// a line goes: the number and the bytes, or "!" and why they cannot be read or
// written.

import { createInterface } from "node:readline";
import { deserialize, serialize } from "../../../sdk/node/src/storage/clone.ts";

for await (const line of createInterface({ input: process.stdin })) {
  const [number, hex] = line.split(" ") as [string, string];
  let answer: string;
  try {
    answer = Buffer.from(serialize(deserialize(Buffer.from(hex, "hex")))).toString("hex");
  } catch (error) {
    answer = `!${(error as Error).message.replaceAll("\n", " ")}`;
  }
  process.stdout.write(`${number} ${answer}\n`);
}
