/*
 * `storage.sql`: values in, statements, and what a statement may do to the turn.
 */

import { badParameter, illegalInvocation } from "../errors.ts";
import { Cursor, Query } from "./cursor.ts";
import { cannotFail } from "./schema.ts";
import type { Database, SqlValue, Statement } from "./sqlite.ts";
import { restAfter, type Statements } from "./statements.ts";

/** What SQL needs from the storage of its object. */
export interface SqlEngine {
  readonly sqlEnabled: boolean;
  /** Throws if the storage is of no use any more. */
  check(): void;
  /** The database to ask: that of the object, or the empty one while it has none. */
  readonly reading: { readonly database: Database; readonly statements: Statements };
  /** The object's own database, within a transaction: created if need be. Before each write. */
  writing(): { readonly database: Database; readonly statements: Statements };
  /** Runs `f` and sees to it that an error after which the storage is of no use ends the object. */
  guard<T>(f: () => T): T;
  databaseSize(): number;
}

const notEnabled = "SQL is not enabled for this Durable Object class. To enable it, change `new_classes` to `new_sqlite_classes` "
  + "within the 'migrations' field in your wrangler.jsonc or wrangler.toml file. If using workerd directly,set `enableSql = true` "
  + "in your workerd config for the class. Note that this change cannot be made after the class is already deployed to production.";
const wrongCount = "Wrong number of parameter bindings for SQL query.";

/** Cloudflare: "SQL API". */
export class SqlStorage {
  readonly #engine: SqlEngine;

  constructor(engine: SqlEngine) {
    if (typeof engine?.writing !== "function") throw new TypeError("Illegal constructor");
    this.#engine = engine;
  }

  /** Executes one or several statements; the values are bound to the parameters of the last one. */
  exec(query: string, ...bindings: unknown[]): Cursor {
    const engine = SqlStorage.#of(this);
    if (arguments.length === 0) throw badParameter("exec", "SqlStorage", 1, "String");
    const sql = typeof query === "string" ? query : `${query as unknown}`;
    for (let i = 0; i < bindings.length; i++) bindings[i] = toSql(bindings[i]);
    check(engine);
    return engine.guard(() => new Cursor(execute(engine, sql, bindings as SqlValue[])));
  }

  /** Bytes of the database, without pages that hold nothing. */
  get databaseSize(): number {
    const engine = SqlStorage.#of(this);
    check(engine);
    return engine.guard(() => engine.databaseSize());
  }

  static #of(self: unknown): SqlEngine {
    if (!(self instanceof Object && #engine in self)) throw illegalInvocation();
    return self.#engine;
  }
}

/** Prepared statements of authors: an experiment of workerd's that has only a name here. */
class PreparedStatement {
  constructor() {
    throw new TypeError("Illegal constructor");
  }
}
Object.defineProperties(SqlStorage.prototype, {
  [Symbol.toStringTag]: { value: "SqlStorage", configurable: true },
  Cursor: { value: Cursor, writable: true, configurable: true },
  Statement: { value: PreparedStatement, writable: true, configurable: true },
});

function check(engine: SqlEngine): void {
  if (!engine.sqlEnabled) throw new Error(notEnabled);
  engine.check();
}

function execute(engine: SqlEngine, sql: string, values: SqlValue[]): Query {
  let place = engine.reading;
  place.database.settle();
  if (place.database.path === null && wouldWrite(place, sql)) place = engine.writing();
  const run = (statement: Statement) => runBefore(engine, statement);
  const { text, fresh } = place.statements.get(sql, run);
  if (!fresh) text.before.forEach(run);
  return runStatement(engine, text.last, values);
}

/** Whether a text that is asked of the empty database needs a database of its own. Throws if it is wrong before that. */
function wouldWrite({ database, statements }: SqlEngine["reading"], sql: string): boolean {
  if (statements.has(sql)) return false;
  for (let rest = sql; ; ) {
    const statement = database.compile(rest);
    if (statement === null) return false;
    if (statement.effects.writes) return true;
    rest = restAfter(rest, statement);
    if (rest === "") return false;
  }
}

function runStatement(engine: SqlEngine, statement: Statement, values: SqlValue[]): Query {
  if (values.length !== statement.parameters.count) throw new Error(wrongCount);
  const { effects } = statement;
  if (effects.remembers) statement.database.asked = true;
  if (!effects.writes) {
    if (!statement.returnsRows) return Query.complete(statement, values);
    return mayWait(statement, values) ? Query.pend(statement, values) : Query.begin(statement, values);
  }
  engine.writing();
  if (effects.schema || effects.connection) statement.database.leavePlace();
  try {
    return Query.complete(statement, values);
  } finally {
    if (effects.schema) statement.database.schema++;
    if (effects.connection) statement.database.tainted = true;
  }
}

/** A statement of whose rows nobody will ask: a query is begun, in case it fails, and ended. */
function runBefore(engine: SqlEngine, statement: Statement): void {
  if (statement.effects.writes || !statement.returnsRows) runStatement(engine, statement, []);
  else if (statement.parameters.count > 0) throw new Error(wrongCount);
  else Query.begin(statement, []).close();
}

/** Whether a query may be begun later than it was executed; see cursor.ts. */
function mayWait(statement: Statement, values: readonly SqlValue[]): boolean {
  // Bytes are the author's, who may change them meanwhile.
  for (const value of values) if (typeof value === "object" && value !== null) return false;
  const { schema } = statement.database;
  if (statement.plainOf !== schema) {
    statement.plain = cannotFail(statement);
    statement.plainOf = schema;
  }
  return statement.plain;
}

/** A JavaScript value as SQLite is given it. Numbers are always REAL; the column's affinity may make them integers. */
function toSql(value: unknown): SqlValue {
  switch (typeof value) {
    case "number":
    case "string":
      return value;
    case "undefined":
      return null;
    case "bigint":
      throw new TypeError("Cannot convert a BigInt value to a number");
    case "object":
      if (value === null) return null;
      if (value instanceof ArrayBuffer) return new Uint8Array(value);
      if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  return `${value as string}`;
}
