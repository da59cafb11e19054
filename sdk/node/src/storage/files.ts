/*
 * The database file as a file: whether it is there, and making it. The only file here that knows
 * `node:fs`.
 */

import { closeSync, existsSync, mkdirSync, openSync, readSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Whether there is a database of at least `smallest` bytes, which are those of one without tables. What is smaller was
 * never committed to; nor was a file of just that size that has no header, which is what a power cut may leave of a
 * new one: with the first commit the journal has it whole.
 */
export function databaseExists(path: string, smallest: number): boolean {
  if (path === "") return false; // Permissions are not asked about nothing.
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return false;
  if (!stat.isFile() || stat.size > smallest) return true;
  return stat.size === smallest && hasHeader(path);
}

const header = "SQLite format 3\0";

function hasHeader(path: string): boolean {
  const file = openSync(path, "r");
  try {
    const first = new Uint8Array(header.length);
    const n = readSync(file, first);
    return String.fromCharCode(...first.subarray(0, n)) === header;
  } finally {
    closeSync(file);
  }
}

/** Whether there is a file at all. */
export function fileExists(path: string): boolean {
  return existsSync(path);
}

/**
 * Makes a database file with `content`, and its folder if need be, where there is none. It appears whole, or
 * not at all; a log of an earlier one does not become its log.
 */
export function createDatabase(path: string, content: Uint8Array): void {
  if (path === "") throw new Error("the host has not said where the object's data may be kept");
  const made = `${path}.new`;
  let file: number;
  try {
    file = openSync(made, "w");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    mkdirSync(dirname(path), { recursive: true });
    file = openSync(made, "w");
  }
  try {
    for (let at = 0; at < content.length; ) at += writeSync(file, content, at);
  } finally {
    closeSync(file);
  }
  for (const end of ["-wal", "-shm"]) rmSync(path + end, { force: true });
  renameSync(made, path);
}
