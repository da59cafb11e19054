/*
 * The database file as a file: whether it is there, and making it. The only file here that knows
 * `node:fs`.
 */

import { closeSync, mkdirSync, openSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";

/** Whether there is a database. An empty file is what a crash between making and writing it leaves. */
export function databaseExists(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat !== undefined && !(stat.isFile() && stat.size === 0);
}

/** Makes a database file with `content`, and its folder if need be. Replaces an empty file only. */
export function createDatabase(path: string, content: Uint8Array): void {
  let file: number;
  try {
    file = openSync(path, "w");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    mkdirSync(dirname(path), { recursive: true });
    file = openSync(path, "w");
  }
  try {
    writeSync(file, content);
  } finally {
    closeSync(file);
  }
}
