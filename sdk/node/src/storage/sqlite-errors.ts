/*
 * What SQLite reports, as authors know it from Cloudflare: the message, where in the text, and the
 * name of the code. `node:sqlite` gives the message and the number; the place is found again here.
 */

import { Buffer } from "./bytes.ts";
import { nameOf, type Token, tokens } from "./tokens.ts";

/** Primary result codes by number; https://www.sqlite.org/rescode.html. */
const primary = [
  "SQLITE_OK", "SQLITE_ERROR", "SQLITE_INTERNAL", "SQLITE_PERM", "SQLITE_ABORT", "SQLITE_BUSY", "SQLITE_LOCKED",
  "SQLITE_NOMEM", "SQLITE_READONLY", "SQLITE_INTERRUPT", "SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_NOTFOUND",
  "SQLITE_FULL", "SQLITE_CANTOPEN", "SQLITE_PROTOCOL", "SQLITE_EMPTY", "SQLITE_SCHEMA", "SQLITE_TOOBIG",
  "SQLITE_CONSTRAINT", "SQLITE_MISMATCH", "SQLITE_MISUSE", "SQLITE_NOLFS", "SQLITE_AUTH", "SQLITE_FORMAT",
  "SQLITE_RANGE", "SQLITE_NOTADB", "SQLITE_NOTICE", "SQLITE_WARNING",
];

/** Extended result codes: the primary one and a number from 1, in order. */
const extended: Readonly<Record<string, readonly string[]>> = {
  SQLITE_ERROR: ["MISSING_COLLSEQ", "RETRY", "SNAPSHOT"],
  SQLITE_ABORT: ["", "ROLLBACK"],
  SQLITE_BUSY: ["RECOVERY", "SNAPSHOT", "TIMEOUT"],
  SQLITE_LOCKED: ["SHAREDCACHE", "VTAB"],
  SQLITE_READONLY: ["RECOVERY", "CANTLOCK", "ROLLBACK", "DBMOVED", "CANTINIT", "DIRECTORY"],
  SQLITE_IOERR: [
    "READ", "SHORT_READ", "WRITE", "FSYNC", "DIR_FSYNC", "TRUNCATE", "FSTAT", "UNLOCK", "RDLOCK", "DELETE", "BLOCKED",
    "NOMEM", "ACCESS", "CHECKRESERVEDLOCK", "LOCK", "CLOSE", "DIR_CLOSE", "SHMOPEN", "SHMSIZE", "SHMLOCK", "SHMMAP",
    "SEEK", "DELETE_NOENT", "MMAP", "GETTEMPPATH", "CONVPATH", "VNODE", "AUTH", "BEGIN_ATOMIC", "COMMIT_ATOMIC",
    "ROLLBACK_ATOMIC", "DATA", "CORRUPTFS",
  ],
  SQLITE_CORRUPT: ["VTAB", "SEQUENCE", "INDEX"],
  SQLITE_CANTOPEN: ["NOTEMPDIR", "ISDIR", "FULLPATH", "CONVPATH", "DIRTYWAL", "SYMLINK"],
  SQLITE_CONSTRAINT: [
    "CHECK", "COMMITHOOK", "FOREIGNKEY", "FUNCTION", "NOTNULL", "PRIMARYKEY", "TRIGGER", "UNIQUE", "VTAB", "ROWID",
    "PINNED", "DATATYPE",
  ],
  SQLITE_AUTH: ["USER"],
};

/** Codes after which nothing that this database says can be relied on, or nothing can be written any more. */
const fatalCodes = new Set([
  "SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_NOMEM", "SQLITE_PROTOCOL",
]);

/** An error that `node:sqlite` throws for SQLite. */
export interface NativeError extends Error {
  readonly code: "ERR_SQLITE_ERROR";
  readonly errcode: number;
}

export function isNative(error: unknown): error is NativeError {
  return error instanceof Error && (error as Partial<NativeError>).code === "ERR_SQLITE_ERROR";
}

/** The name of the primary code, such as `SQLITE_FULL`. */
export function codeName(error: NativeError): string {
  return primary[error.errcode & 0xff] ?? `SQLITE_UNKNOWN_ERROR_CODE(${error.errcode})`;
}

/** Whether the database is of no use after this error. */
export function isFatal(error: unknown): boolean {
  if (!isNative(error)) return false;
  return fatalCodes.has(codeName(error)) && !(codeName(error) === "SQLITE_CORRUPT" && error.errcode >> 8 !== 0);
}

/** `message at offset N: SQLITE_X (extended: SQLITE_X_Y)`: what an author sees. */
export function errorText(error: NativeError, place?: number): string {
  const name = codeName(error);
  const more = extended[name]?.[(error.errcode >> 8) - 1];
  const at = place === undefined ? "" : ` at offset ${place}`;
  return `${error.message}${at}: ${name}${more ? ` (extended: ${name}_${more})` : ""}`;
}

/** Says what SQLite says of an incomplete or complete text, or undefined if it is content. */
export type Compile = (sql: string) => string | undefined;

/**
 * Where in `sql` the message speaks of, in bytes of UTF-8, or undefined if it names no place.
 * Exact for syntax errors. For names it is the first place that fits: the one that SQLite means
 * unless the same wrong name stands in a part that it resolves earlier.
 */
export function placeOf(message: string, sql: string, compile: Compile): number | undefined {
  for (const [form, find] of finders) {
    const found = form.exec(message);
    if (found === null) continue;
    const at = find(sql, found[1] ?? "", compile);
    return at === undefined ? undefined : Buffer.byteLength(sql.slice(0, at));
  }
  return undefined;
}

type Finder = (sql: string, what: string, compile: Compile) => number | undefined;

const finders: readonly (readonly [RegExp, Finder])[] = [
  [/^near "([\s\S]*)": syntax error$/, findSyntax],
  [/^unrecognized token: "([\s\S]*)"$/, (sql, what) => Array.from(tokens(sql)).find((t) => sql.startsWith(what, t.at))?.at],
  [/^no such column: (.+?)(?: - should this be a string literal in single-quotes\?)?$/s, findColumn],
  [/^ambiguous column name: (.+)$/s, findColumn],
  [/^no such function: (.+)$/s, findCall],
  [/^not authorized to use function: (.+)$/s, findCall],
  [/^wrong number of arguments to function (.+)\(\)$/s, findCall],
  [/^too many arguments on function (.+)$/s, findCall],
  [/^misuse of (?:aggregate|window) function (.+)\(\)$/s, findCall],
  [/^second argument to (likelihood)\(\)/, findCall],
  [/^(?:table|view) (.+) already exists$/s, (sql, what) => findWord(sql, (t) => nameOf(t) === what.toLowerCase())],
  [/^too many SQL variables$/, (sql) => Array.from(tokens(sql)).filter((t) => t.kind === "parameter")[100]?.at],
  [/^variable number must be between \?1 and \?(\d+)$/, (sql, most) =>
    Array.from(tokens(sql)).find((t) => /^\?\d+$/.test(t.text) && !(Number(t.text.slice(1)) >= 1 && Number(t.text.slice(1)) <= Number(most)))?.at],
];

/** The first token after which SQLite says that very thing is the one it stumbled over. */
function findSyntax(sql: string, what: string, compile: Compile): number | undefined {
  const message = `near "${what}": syntax error`;
  const all = Array.from(tokens(sql));
  const exact = all.filter((t) => t.text === what);
  const places = exact.length > 0 ? exact : all.filter((t) => sql.startsWith(what, t.at));
  return places.slice(0, 64).find((t) => compile(sql.slice(0, t.at + what.length)) === message)?.at;
}

/** `a.b.c`, however it is quoted. */
function findColumn(sql: string, path: string): number | undefined {
  const all = Array.from(tokens(sql));
  const parts = path.toLowerCase().split(".");
  const fits = (i: number) => parts.every((part, k) =>
    all[i + 2 * k]?.kind === "word" && nameOf(all[i + 2 * k]!) === part && (k === 0 || all[i + 2 * k - 1]!.text === "."));
  const ends = (i: number) => all[i + 2 * parts.length - 1]?.text !== "." && all[i - 1]?.text !== ".";
  return all.find((_, i) => fits(i) && ends(i))?.at;
}

function findCall(sql: string, name: string): number | undefined {
  const all = Array.from(tokens(sql));
  // `a REGEXP b` and the like call a function that is not written as a call.
  return all.find((t, i) => t.kind === "word" && nameOf(t) === name.toLowerCase() && all[i + 1]?.text === "(")?.at
    ?? findWord(sql, (t) => nameOf(t) === name.toLowerCase());
}

function findWord(sql: string, fits: (token: Token) => boolean): number | undefined {
  for (const token of tokens(sql)) if (token.kind === "word" && fits(token)) return token.at;
  return undefined;
}
