/*
 * stdin, stdout and stderr of the `process` that author code sees: nothing comes
 * in, and what goes out is logged, line by line, as console does it. They are
 * made when they are first looked at.
 */

import { Readable, Writable } from "node:stream";
import { currentOwner } from "../ambient.ts";
import { level, log } from "../console.ts";

export function standardStreams<T extends object>(process: T): T {
  lazily(process, "stdin", () => Object.assign(Readable.from([]), { fd: 0 }));
  lazily(process, "stdout", () => Object.assign(logging(level.info), { fd: 1, readable: false }));
  lazily(process, "stderr", () => Object.assign(logging(level.error), { fd: 2, readable: false }));
  return process;
}

function lazily(on: object, name: string, make: () => unknown): void {
  let made: unknown;
  Object.defineProperty(on, name, { get: () => (made ??= make()), enumerable: true, configurable: true });
}

/** Each write is logged at once, as a line of its own: nothing is kept until a line is whole. */
function logging(severity: number): Writable {
  return new Writable({
    decodeStrings: false,
    write(chunk: string | Uint8Array, _encoding, done) {
      const text = typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk);
      log(currentOwner(), severity, text.endsWith("\n") ? text.slice(0, -1) : text);
      done();
    },
  });
}
