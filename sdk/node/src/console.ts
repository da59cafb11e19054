/*
 * console, as frames of the guest protocol, with the object whose code spoke.
 */

import { Console } from "node:console";
import { inspect } from "node:util";
import { ambient, currentOwner } from "./ambient.ts";
import type { Owner } from "./owner.ts";
import { frame } from "./wire.ts";

export const level = { debug: 0, info: 1, warn: 2, error: 3 } as const;

/** A longer line is cut. */
const maxLine = 64 << 10;

/** `event`: in which event of the owner's it happened, for errors. */
export function log(owner: Owner, severity: number, text: string, event?: number): void {
  const number = owner.gone ? 0 : owner.number;
  const clipped = text.length > maxLine ? `${text.slice(0, maxLine)}… (${text.length} characters)` : text;
  // Not an output in the sense of the gate: never held.
  if (event !== undefined && !owner.gone) ambient.turns.out.twoNumbers(frame.blame, number, event);
  ambient.turns.out.log(number, severity, Date.now(), clipped);
  ambient.worker.touch();
}

/** Something of the author's that was thrown and that nobody caught. */
export function logError(owner: Owner, what: string, error: unknown, event?: number): void {
  let text: string;
  try {
    text = error instanceof Error && typeof error.stack === "string" ? inspect(error) : inspect(error);
  } catch {
    text = "an error that cannot be printed";
  }
  log(owner, level.error, `${what}: ${text}`, event);
}

const levels: Record<string, number> = {
  debug: level.debug,
  warn: level.warn,
  error: level.error,
  trace: level.error,
  assert: level.error,
};

/** The console that author code sees. Node's own does the formatting. */
export function makeConsole(): Console {
  let severity: number = level.info;
  const stream = {
    write(text: string) {
      log(currentOwner(), severity, text.endsWith("\n") ? text.slice(0, -1) : text);
      return true;
    },
    on() {},
    once() {},
    removeListener() {},
    listenerCount: () => 0,
  } as unknown as NodeJS.WritableStream;
  const inner = new Console({ stdout: stream, stderr: stream, ignoreErrors: true, colorMode: false, inspectOptions: { depth: 4 } });
  const outer: Record<string, unknown> = {};
  const names = [
    "debug", "error", "info", "log", "warn", "dir", "dirxml", "table", "trace", "group", "groupCollapsed", "groupEnd",
    "clear", "count", "countReset", "assert", "profile", "profileEnd", "time", "timeEnd", "timeLog", "timeStamp",
  ] as const;
  for (const name of names) {
    const method = (inner as unknown as Record<string, unknown>)[name];
    if (typeof method !== "function") continue;
    const own = levels[name] ?? level.info;
    outer[name] = (...args: unknown[]): void => {
      severity = own;
      method.apply(inner, args);
    };
  }
  return outer as unknown as Console;
}
