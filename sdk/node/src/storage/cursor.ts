/*
 * Cursors: the rows of one execution, and the three iterators that take them.
 *
 * A SELECT is begun by `exec`, so that it sees the database as it is then. Beginning it and taking
 * rows one by one is twice as dear as asking for all of them at once, and most queries are asked for
 * all rows in the same breath. So a query that cannot fail on its way is only noted ("pending"): it
 * is begun when anything else is about to happen to the database, or when its first row is wanted.
 */

import { illegalInvocation } from "../errors.ts";
import { type Execution, rowsRead, rowsWritten, watched } from "./counts.ts";
import { closeWith, Progress } from "./progress.ts";
import type { Database, SqlValue, Statement } from "./sqlite.ts";

/** What an author finds in a row. */
export type Value = null | number | string | ArrayBuffer;
export type Row = Record<string, Value>;

/** One execution and what is left of its rows; shared by a cursor and its iterators. */
export class Query {
  readonly statement: Statement;
  #run = 0; // Which run of the statement it is.
  #changes = 0;
  #beside = 0; // By how much what is `watched` has grown.
  #taken = 0;
  #names: readonly string[] = [];

  // Invariant: at most one of the three holds rows. #values only while it is pending.
  #values: readonly SqlValue[] | null = null;
  #progress: Progress | null = null;
  #listed: SqlValue[][] | null = null;
  #at = 0; // How much of #listed is taken.

  #ahead: SqlValue[] | null = null; // The first row, taken before anybody asked for it.
  #failure: unknown; // What beginning it threw when nobody could be told.

  private constructor(statement: Statement) {
    this.statement = statement;
  }

  /** Runs a statement to its end. Those that write must: an open INSERT … RETURNING makes COMMIT fail. */
  static complete(statement: Statement, values: readonly SqlValue[]): Query {
    const query = new Query(statement);
    const before = watched(statement);
    try {
      if (statement.returnsRows) {
        query.#listed = statement.all(values);
        query.#changes = query.#listed.length;
      } else {
        query.#changes = statement.run(values);
      }
    } catch (error) {
      throw statement.database.stepError(error);
    }
    query.#ran();
    query.#beside = watched(statement) - before;
    return query;
  }

  /** Begins a query: its first row, or the error that is there instead, is found now. */
  static begin(statement: Statement, values: readonly SqlValue[]): Query {
    const query = new Query(statement);
    query.#values = values;
    query.#begin();
    return query;
  }

  /** Notes a query that is begun before anything else happens. Nothing else is pending. */
  static pend(statement: Statement, values: readonly SqlValue[]): Query {
    const query = new Query(statement);
    query.#values = values;
    statement.database.pending = query;
    return query;
  }

  /** Called by the database; pairs with `pend`. */
  settle(): void {
    try {
      this.#begin();
    } catch (error) {
      this.#failure = error;
    }
  }

  /** The next row, owned by the caller. */
  next(): SqlValue[] | null {
    const row = this.#step();
    if (row !== null) this.#taken++;
    return row;
  }

  /** All rows that are left. */
  rest(): SqlValue[][] {
    const rows = this.#values !== null ? this.#all() : this.#left();
    this.#taken += rows.length;
    return rows;
  }

  /** The only row that is left; afterwards none is. */
  one(): SqlValue[] {
    const { statement } = this;
    // Asking for all rows is the cheaper way, if they are few: the last time tells.
    if (this.#values !== null && statement.single && !statement.effects.recursive) this.#listed = this.#all();
    const row = this.next();
    if (row === null) throw new Error("Expected exactly one result from SQL query, but got no results.");
    statement.single = this.#step() === null;
    this.#listed = null;
    this.#progress?.close();
    if (!statement.single) throw new Error("Expected exactly one result from SQL query, but got multiple results.");
    return row;
  }

  /** Nobody asks for rows any more. */
  close(): void {
    this.#progress?.close();
  }

  /** The names of the columns, as they were when it began. */
  get names(): readonly string[] {
    if (this.#values !== null) this.#database.settle();
    return this.#names;
  }

  /** For the counters. */
  get execution(): Execution {
    if (this.#values !== null) this.#database.settle();
    const { statement } = this;
    // workerd is always one row ahead of what was taken.
    const ahead = this.#ahead !== null || this.#progress?.more === true ? 1 : 0;
    const own = this.#run === statement.runs;
    return { statement, rows: this.#taken + ahead, changes: this.#changes, beside: this.#beside, own };
  }

  get #database(): Database {
    return this.statement.database;
  }

  #begin(): void {
    const { statement } = this;
    const values = this.#values!;
    this.#values = null;
    try {
      this.#progress = new Progress(statement, values);
    } catch (error) {
      throw statement.database.stepError(error);
    }
    this.#ahead = this.#progress.next();
    this.#ran();
    if (this.#ahead !== null) closeWith(this, this.#progress);
  }

  /** After its first step: by then SQLite has compiled it for the schema as it is. */
  #ran(): void {
    this.#run = this.statement.runs;
    this.#names = this.statement.names;
  }

  #step(): SqlValue[] | null {
    if (this.#values !== null) {
      this.#database.pending = null;
      this.#begin();
    }
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      this.#failure = undefined;
      throw failure;
    }
    const row = this.#ahead;
    if (row !== null) {
      this.#ahead = null;
      this.#progress!.check();
      return row;
    }
    if (this.#listed !== null) return this.#listed[this.#at++] ?? null;
    return this.#progress === null ? null : this.#progress.next();
  }

  /** A pending query at once. */
  #all(): SqlValue[][] {
    const { statement } = this;
    const values = this.#values!;
    this.#values = this.#database.pending = null;
    try {
      return statement.all(values);
    } catch (error) {
      throw statement.database.stepError(error);
    } finally {
      this.#ran();
    }
  }

  #left(): SqlValue[][] {
    const rows: SqlValue[][] = [];
    for (let row = this.#step(); row !== null; row = this.#step()) rows.push(row);
    return rows;
  }
}

// ---- What authors see

/** Marks calls of constructors that come from here: authors cannot make cursors. */
function own(query: unknown): Query {
  if (!(query instanceof Query)) throw new TypeError("Illegal constructor");
  return query;
}

/** `SqlStorageCursor`. Cloudflare: "SQL API", cursors. */
export class Cursor {
  readonly #query: Query;
  #names: string[] | undefined;

  constructor(query: Query) {
    this.#query = own(query);
  }

  /** The next row, as iterators give it. */
  next(): IteratorResult<Row, undefined> {
    return asResult(Cursor.#of(this), toRow);
  }

  /** All rows that are left. */
  toArray(): Row[] {
    const query = Cursor.#of(this);
    const rows = query.rest();
    if (rows.length === 0) return [];
    const { names } = query;
    return rows.map((row) => toRow(row, names));
  }

  /** The only row; throws if there are none or several. */
  one(): Row {
    const query = Cursor.#of(this);
    return toRow(query.one(), query.names);
  }

  /** The rows that are left, as arrays of values. */
  raw(): RawIterator {
    return new RawIterator(Cursor.#of(this));
  }

  /** Names of the columns; duplicates stay. */
  get columnNames(): string[] {
    const query = Cursor.#of(this);
    return this.#names ??= [...query.names];
  }

  /** How many rows were read so far; an estimate, see counts.ts. */
  get rowsRead(): number {
    return rowsRead(Cursor.#of(this).execution);
  }

  /** How many rows of tables and indexes were written; an estimate, see counts.ts. */
  get rowsWritten(): number {
    return rowsWritten(Cursor.#of(this).execution);
  }

  [Symbol.iterator](): RowIterator {
    return new RowIterator(Cursor.#of(this));
  }

  static #of(self: unknown): Query {
    if (!(self instanceof Object && #query in self)) throw illegalInvocation();
    return self.#query;
  }
}

class RowIterator extends Iterator<Row, undefined> {
  readonly #query: Query;

  constructor(query: Query) {
    super();
    this.#query = own(query);
  }

  next(): IteratorResult<Row, undefined> {
    return asResult(RowIterator.#of(this), toRow);
  }

  static #of(self: unknown): Query {
    if (!(self instanceof Object && #query in self)) throw illegalInvocation();
    return self.#query;
  }
}

class RawIterator extends Iterator<Value[], undefined> {
  readonly #query: Query;

  constructor(query: Query) {
    super();
    this.#query = own(query);
  }

  next(): IteratorResult<Value[], undefined> {
    return asResult(RawIterator.#of(this), toValues);
  }

  /** As that of every iterator, at once. */
  override toArray(): Value[][] {
    return RawIterator.#of(this).rest().map(toValues);
  }

  static #of(self: unknown): Query {
    if (!(self instanceof Object && #query in self)) throw illegalInvocation();
    return self.#query;
  }
}

for (const [Class, tag] of [[Cursor, "Cursor"], [RowIterator, "RowIterator"], [RawIterator, "RawIterator"]] as const) {
  Object.defineProperty(Class.prototype, Symbol.toStringTag, { value: tag, configurable: true });
}

function asResult<T>(query: Query, publish: (row: SqlValue[], names: readonly string[]) => T): IteratorResult<T, undefined> {
  const row = query.next();
  return row === null ? { done: true, value: undefined } : { done: false, value: publish(row, query.names) };
}

/** The values of a row, in its own array. */
function toValues(row: SqlValue[]): Value[] {
  for (let i = 0; i < row.length; i++) row[i] = toValue(row[i]!) as SqlValue;
  return row as Value[];
}

/** A plain object; of columns with the same name the last counts. */
function toRow(values: SqlValue[], names: readonly string[]): Row {
  const row: Row = {};
  for (let i = 0; i < names.length; i++) row[names[i]!] = toValue(values[i]!);
  return row;
}

function toValue(value: SqlValue): Value {
  switch (typeof value) {
    case "bigint": return Number(value);
    case "object": return value === null ? null : buffer(value);
    default: return value;
  }
}

/** Node gives a view of a buffer of its own. */
function buffer(blob: Uint8Array): ArrayBuffer {
  const whole = blob.buffer as ArrayBuffer;
  return whole.byteLength === blob.byteLength ? whole : whole.slice(blob.byteOffset, blob.byteOffset + blob.byteLength);
}
