/*
 * One open database file, or the empty one that stands in while an object has written nothing. The
 * only file that knows `node:sqlite`.
 *
 * The guest neither syncs nor checkpoints (`synchronous = OFF`, `wal_autocheckpoint = 0`): the host
 * makes a commit durable by its WAL, and the keeper checkpoints when the host says so. See docs/storage.md.
 */

import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { fileExists } from "./files.ts";
import { allow, type Effects, isOurs, judge, noEffects } from "./authorizer.ts";
import type { Progress } from "./progress.ts";
import { codeName, errorText, isFatal, isNative, type NativeError, placeOf } from "./sqlite-errors.ts";
import { nameOf, type Parameters, parametersOf, tokens } from "./tokens.ts";

/** What Node 26.10 has and its types do not say yet. */
interface NativeStatement extends StatementSync {
  stat(counter: "fullscanStep" | "sort"): number;
  resetStats(): void;
  close(): void;
}

/** What a value is within SQLite; integers come out as bigint, blobs as Uint8Array. */
export type SqlValue = null | number | bigint | string | Uint8Array;

export interface DatabaseOptions {
  /** Largest string, blob or row. */
  readonly rowBytes: number;
  /** Largest page cache. */
  readonly cacheBytes: number;
  /** Largest database file. */
  readonly databaseBytes: number;
}

export const pageSize = 4096;

/** How long SQLite waits for the keeper, which may hold a lock for a moment. */
const busyTimeout = 5000;

/** Cloudflare: "SQL API", limits. */
const sqliteLimits = {
  sqlLength: 100_000, column: 100, exprDepth: 100, compoundSelect: 5, vdbeOp: 25_000, functionArg: 127, attach: 0,
  likePatternLength: 50, variableNumber: 100, triggerDepth: 10,
};

export class Database {
  /** Null for the empty database. */
  readonly path: string | null;
  readonly #db: DatabaseSync;

  // While the storage's own SQL is compiled or runs: it may touch everything.
  #trusted = false;
  // While a statement of the author's is compiled.
  #learning: Effects | null = null;
  readonly #own = new Map<string, Statement>();
  #turn: Statement | null = null; // BEGIN, of the first transaction
  #place: Place | null = null;

  /** Counts changes of the schema, so that what is known of it can be asked for again. */
  schema = 0;
  /** Settles a query whose rows nobody has asked for yet; see cursor.ts. Pairs with `settle`. */
  pending: { settle(): void } | null = null;
  /** Queries in progress; they keep their place in the WAL until they are closed. */
  readonly queries = new Set<{ close(reason?: string): void }>();
  /** Somebody changed the connection itself: it serves no other instance. */
  tainted = false;
  /** Its user has asked for what only this connection knows, and may do so again. */
  asked = false;
  #closed = false;

  constructor(path: string | null, options: DatabaseOptions) {
    this.path = path;
    this.#db = new DatabaseSync(path ?? ":memory:", {
      timeout: busyTimeout,
      enableForeignKeyConstraints: true,
      enableDoubleQuotedStringLiterals: true,
      defensive: true,
      limits: { ...sqliteLimits, length: options.rowBytes },
    });
    try {
      this.#db.exec(`PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -${options.cacheBytes >> 10};
        PRAGMA max_page_count = ${Math.floor(options.databaseBytes / pageSize)}`);
      // The first read: what is not a database says so here.
      this.#db.exec(anyRead);
    } catch (error) {
      if (path === null) this.#db.close();
      else closeOrKeep(path, this.#db);
      throw error;
    }
    this.#db.setAuthorizer((action, first, second, database, inner) =>
      this.#trusted ? allow : judge(this.#learning ?? noEffects(), action, first, second, database, inner));
  }

  /** Whether another instance may use it: nobody has changed it, and nothing was cut off in the middle. */
  get clean(): boolean {
    return !this.tainted && !this.#trusted && this.#learning === null && !this.inTransaction;
  }

  /** Whether its user could notice that it was closed and opened again. */
  get busy(): boolean {
    return !this.clean || this.asked || this.pending !== null || this.queries.size > 0;
  }

  /** Its statements cannot be asked any more. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Whether BEGIN was run and neither COMMIT nor ROLLBACK. */
  get inTransaction(): boolean {
    return this.#db.isTransaction;
  }

  /** Begins a transaction. From the second one on the database keeps its place in the WAL. */
  begin(): void {
    if (this.#turn === null) this.#turn = this.trusted("BEGIN");
    else this.#place ??= new Place(this.trusted(staysAtRow));
    this.#place?.take();
    this.#step(this.#turn);
  }

  /** Throws as authors know it. */
  commit(): void {
    this.#step(this.own("COMMIT"));
  }

  /** Gives back the place in the WAL, which bounds what a checkpoint may move and refuses to drop tables. */
  leavePlace(): void {
    this.#place?.leave();
  }

  #step(statement: Statement): void {
    this.settle();
    const before = this.#trusted;
    this.#trusted = true;
    try {
      statement.step();
    } catch (error) {
      throw this.stepError(error);
    } finally {
      this.#trusted = before;
    }
  }

  /** Brings what is pending to its first row, before anything else happens to the database. */
  settle(): void {
    const { pending } = this;
    if (pending === null) return;
    this.pending = null;
    pending.settle();
  }

  /** Compiles the first statement of the author's `sql`; null if there is none. Throws as authors know it. */
  compile(sql: string): Statement | null {
    const effects = noEffects();
    this.#learning = effects;
    try {
      const statement = this.#prepare(sql, effects);
      // Of VACUUM nothing is asked. Within a transaction it is refused by SQLite itself.
      if (!effects.asked) effects.writes = true;
      if (effects.alters && renamesToOurs(statement!.sql)) throw new Error("not authorized: SQLITE_AUTH");
      return statement;
    } catch (error) {
      throw this.#asAuthorKnowsIt(error, sql, effects);
    } finally {
      this.#learning = null;
    }
  }

  /** Compiles a statement of the storage's own. */
  trusted(sql: string): Statement {
    return this.asTrusted(() => this.#prepare(sql, noEffects(), true)!);
  }

  /** Runs `f`, in which SQL of the storage's own may be stepped. It runs nothing of the author's. */
  asTrusted<T>(f: () => T): T {
    const before = this.#trusted;
    this.#trusted = true;
    try {
      return f();
    } finally {
      this.#trusted = before;
    }
  }

  /** Runs statements of the storage's own without values. */
  run(sql: string): void {
    this.settle();
    try {
      this.asTrusted(() => this.#db.exec(sql));
    } catch (error) {
      throw this.stepError(error);
    }
  }

  /** Makes the file as small as what is in it. Outside of a transaction. */
  vacuum(): void {
    this.leavePlace();
    // SQLite copies into a second database for it, which authors may never attach.
    this.#db.limits.attach = 1;
    try {
      this.run("VACUUM");
    } finally {
      this.#db.limits.attach = 0;
    }
  }

  /** All rows of a query of the storage's own. There are few such texts; they stay compiled. */
  ask(sql: string, values: SqlValue[]): SqlValue[][] {
    this.settle();
    try {
      return this.asTrusted(() => this.own(sql).all(values));
    } catch (error) {
      throw this.stepError(error);
    }
  }

  /** Runs a statement of the storage's own; how many rows it changed. */
  change(sql: string, values: SqlValue[]): number {
    this.settle();
    try {
      return this.asTrusted(() => this.own(sql).run(values));
    } catch (error) {
      throw this.stepError(error);
    }
  }

  /** A statement of the storage's own, compiled once. */
  own(sql: string): Statement {
    let statement = this.#own.get(sql);
    if (statement === undefined) this.#own.set(sql, statement = this.trusted(sql));
    return statement;
  }

  /** An error of a step, as authors know it. */
  stepError(error: unknown): unknown {
    return isNative(error) ? this.#say(error, errorText(error)) : error;
  }

  /**
   * Ends every query, with `reason` if they are asked for more, and closes the file. The WAL stays: what is in
   * it may not be on disk yet, and so must not be moved. If that cannot be kept from happening, it throws and
   * the file is open as before.
   */
  close(reason?: string): void {
    this.closeQueries(reason);
    if (this.path === null) this.#db.close();
    else closeLeavingLog(this.path, this.#db);
    this.#closed = true;
  }

  /** Gives the page cache back: nobody is going to use it for a while. */
  shrink(): void {
    this.run("PRAGMA shrink_memory");
  }

  closeQueries(reason?: string): void {
    this.settle();
    this.leavePlace();
    for (const query of this.queries) query.close(reason);
    this.queries.clear();
  }

  #prepare(sql: string, effects: Effects, trusted = false): Statement | null {
    let native: NativeStatement;
    try {
      native = this.#db.prepare(sql) as NativeStatement;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ERR_INVALID_ARG_VALUE") return null; // No statement in it.
      throw error;
    }
    return new Statement(this, native, effects, trusted);
  }

  #asAuthorKnowsIt(error: unknown, sql: string, effects: Effects): unknown {
    if (!isNative(error)) return error;
    const { refusal } = effects;
    if (refusal !== undefined && /^not authorized|is prohibited$/.test(error.message)) {
      if (!refusal.startsWith("no such")) return new Error(refusal);
      Object.assign(error, { message: refusal, errcode: 1 });
    }
    // Of all that may be too big, only the text itself is compiled.
    if (codeName(error) === "SQLITE_TOOBIG") error.message = "statement too long";
    return this.#say(error, errorText(error, placeOf(error.message, sql, (text) => this.#complaint(text))));
  }

  /** What SQLite says of a text, for finding places. */
  #complaint(sql: string): string | undefined {
    try {
      this.asTrusted(() => this.#db.prepare(sql));
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  }

  #say(error: Error, text: string): Error {
    const said = new Error(text);
    origins.set(said, { native: error as NativeError, fatal: isFatal(error) });
    return said;
  }
}

/** Whether an ALTER TABLE would make a table one of the storage's own. */
function renamesToOurs(sql: string): boolean {
  const all = Array.from(tokens(sql));
  const to = all.findIndex((token, i) => nameOf(token) === "to" && i > 0 && nameOf(all[i - 1]!) === "rename");
  return to >= 0 && isOurs(nameOf(all[to + 1] ?? all[to]!));
}

/** Where errors that authors see come from. */
const origins = new WeakMap<object, { readonly native: NativeError | undefined; readonly fatal: boolean }>();

/** Whether the database that threw this is of no use any more. */
export function endsDatabase(error: unknown): boolean {
  return origins.get(error as object)?.fatal ?? false;
}

/** What SQLite itself reported. */
export function nativeOf(error: unknown): NativeError | undefined {
  return origins.get(error as object)?.native;
}

/** Runs `f`, which opens or makes a database; its failure ends the use of it. */
export function unusable<T>(f: () => T): T {
  try {
    return f();
  } catch (error) {
    // What Node says of files goes on with the path, which is nobody's business but the operator's.
    const text = isNative(error) ? errorText(error) : (error as Error).message.split(", ")[0]!;
    const said = new Error(text);
    origins.set(said, { native: isNative(error) ? error : undefined, fatal: true });
    throw said;
  }
}

/** One compiled statement. Its `Effects` are those of its first compilation. */
export class Statement {
  readonly database: Database;
  readonly #native: NativeStatement;
  readonly effects: Effects;
  /** It is the storage's own. */
  readonly trusted: boolean;

  /** Its text, which may be less than what was compiled: the first of several statements. */
  readonly sql: string;
  readonly parameters: Parameters;
  /** Whether it returns rows at all. */
  readonly returnsRows: boolean;
  #names: readonly string[];
  #namesOf: number; // The schema they belong to.

  /** The query in progress that uses it; another one needs a statement of its own. */
  progress: Progress | null = null;
  /** The last time somebody asked for its only row, it was the only one. */
  single = false;
  /** Whether no step of it can fail, and the schema for which that is known. Pairs with `cannotFail`. */
  plain = false;
  plainOf = -1;
  /** Counts runs, so that a cursor knows whether the counters are still its own. */
  runs = 0;

  constructor(database: Database, native: NativeStatement, effects: Effects, trusted: boolean) {
    this.database = database;
    this.#native = native;
    this.effects = effects;
    this.trusted = trusted;
    this.sql = native.sourceSQL;
    this.parameters = parametersOf(this.sql);
    this.#names = native.columns().map((column) => column.name);
    this.#namesOf = database.schema;
    this.returnsRows = this.#names.length > 0;
    if (this.parameters.named) native.setAllowBareNamedParameters(false);
    if (this.returnsRows) native.setReturnArrays(true);
    // Integers beyond 2^53 would throw in the middle of a result; and so would, after each statement, such an id of
    // the last row inserted.
    native.setReadBigInts(true);
  }

  /** The names of its columns. Asked right after a step, when it is compiled for the schema as it is. */
  get names(): readonly string[] {
    if (this.#namesOf !== this.database.schema) {
      this.#names = this.#native.columns().map((column) => column.name);
      this.#namesOf = this.database.schema;
    }
    return this.#names;
  }

  /** Runs it to the end, or to its first row. */
  step(): void {
    this.#native.get();
  }

  /** Runs it to the end; how many rows it changed. */
  run(values: readonly SqlValue[]): number {
    this.runs++;
    return Number(this.#native.run(...this.#bound(values)).changes);
  }

  /** All rows. */
  all(values: readonly SqlValue[]): SqlValue[][] {
    this.runs++;
    this.#native.resetStats();
    return this.#native.all(...this.#bound(values)) as unknown as SqlValue[][];
  }

  /** Rows one by one. Only Progress asks for them. */
  iterate(values: readonly SqlValue[]): Iterator<SqlValue[]> {
    this.runs++;
    this.#native.resetStats();
    return this.#native.iterate(...this.#bound(values)) as unknown as Iterator<SqlValue[]>;
  }

  /** Steps that went through a whole table, and sorts, in its last run. */
  counters(): { steps: number; sorts: number } {
    return { steps: this.#native.stat("fullscanStep"), sorts: this.#native.stat("sort") };
  }

  /** Frees it before the collector would. Not while a query is in progress. */
  finalize(): void {
    this.#native.close();
  }

  /** Node binds by place what has no name, and by name what has one. */
  #bound(values: readonly SqlValue[]): SQLInputValue[] {
    if (!this.parameters.named) return values as SQLInputValue[];
    const { names } = this.parameters;
    const byName = Object.fromEntries(names.flatMap((name, i) => name === undefined ? [] : [[name, values[i]!]]));
    return [byName as unknown as SQLInputValue, ...values.filter((_, i) => names[i] === undefined) as SQLInputValue[]];
  }
}

/**
 * A place in the WAL that a connection keeps between its transactions: a query that stays at its only row. Otherwise
 * each transaction takes one and gives it back, with four of its six calls to the system.
 */
class Place {
  readonly #query: Statement;
  #rows: Iterator<SqlValue[]> | null = null;

  constructor(query: Statement) {
    this.#query = query;
  }

  /** What goes wrong is left for the transaction to meet. */
  take(): void {
    if (this.#rows !== null) return;
    const rows = this.#query.iterate([]);
    try {
      this.#query.database.asTrusted(() => rows.next());
      this.#rows = rows;
    } catch {
      rows.return?.();
    }
  }

  leave(): void {
    this.#rows?.return?.();
    this.#rows = null;
  }
}

/** It reads the database, has one row, and no cursor on a table. */
const staysAtRow = "PRAGMA schema_version";

/**
 * A connection that only reads. While one is open the WAL stays as it is, whoever closes: SQLite's
 * last close of a connection would move the WAL into the file, but that of a read-only one cannot.
 */
class Reader {
  readonly db: DatabaseSync;

  constructor(path: string, sql: string) {
    this.db = new DatabaseSync(path, { readOnly: true, timeout: busyTimeout });
    try {
      this.db.exec(sql);
    } catch (error) {
      this.db.close();
      throw error;
    }
  }
}

/** Closes a connection and leaves the WAL as it is; throws if that cannot be. */
function closeLeavingLog(path: string, db: DatabaseSync): void {
  let reader: Reader | null = null;
  try {
    reader = new Reader(path, anyRead);
  } catch (error) {
    // Where there is no database no WAL can be moved into it.
    if (fileExists(path) && !(isNative(error) && codeName(error) === "SQLITE_NOTADB")) throw error;
  }
  db.close();
  reader?.db.close();
}

/** Connections that nobody uses and that could not be closed: the collector would move their WALs. */
const kept: DatabaseSync[] = [];

function closeOrKeep(path: string, db: DatabaseSync): void {
  try {
    closeLeavingLog(path, db);
  } catch {
    kept.push(db);
  }
}

/** The first read opens the WAL. */
const anyRead = "SELECT 1 FROM sqlite_schema LIMIT 1";

export interface Checkpoint {
  /** Frames of the WAL, and how many of them are in the database file now. */
  readonly frames: number;
  readonly moved: number;
}

/** A read snapshot of a database that is open elsewhere in this process. It is the keeper's. */
export class Snapshot {
  readonly #path: string;
  readonly #reader: Reader;

  constructor(path: string) {
    this.#path = path;
    this.#reader = new Reader(path, `BEGIN; ${anyRead}`);
  }

  /** Moves what it covers, and nothing beyond, into the file. Nothing is synced. */
  move(): Checkpoint {
    const db = new DatabaseSync(this.#path, { timeout: busyTimeout, enableForeignKeyConstraints: false });
    try {
      db.exec("PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 0");
      const row = db.prepare("PRAGMA wal_checkpoint(PASSIVE)").get() as Record<"log" | "checkpointed", number>;
      return { frames: Math.max(0, row.log), moved: Math.max(0, row.checkpointed) };
    } finally {
      db.close();
    }
  }

  end(): void {
    this.#reader.db.close();
  }
}

let empty: Uint8Array | null = null;

/** The bytes of a database without tables, in WAL mode already: entering it costs four syncs. */
export function emptyDatabase(): Uint8Array {
  if (empty === null) {
    const db = new DatabaseSync(":memory:");
    db.exec(`PRAGMA page_size = ${pageSize}; CREATE TABLE t (a); DROP TABLE t; VACUUM`);
    empty = db.serialize();
    db.close();
    // https://www.sqlite.org/fileformat2.html#file_format_version_numbers
    empty[18] = empty[19] = 2;
  }
  return empty;
}
