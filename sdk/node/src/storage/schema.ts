/*
 * What is known of a database's schema, asked once and again when the schema has changed.
 */

import type { Database, Statement } from "./sqlite.ts";

/** What is known of a table. */
export interface Table {
  /** Indexes beside the table itself: the columns of each. */
  readonly indexes: readonly (readonly string[])[];
  readonly integerKey: boolean;
  readonly autoincrement: boolean;
}

interface Schema {
  readonly version: number;
  readonly tables: Map<string, Table>;
  /** Names of ordinary tables and of views: reading them cannot fail as reading a virtual table can. */
  ordinary: Set<string> | undefined;
}

const known = new WeakMap<Database, Schema>();

function schemaOf(database: Database): Schema {
  let schema = known.get(database);
  if (schema?.version !== database.schema) {
    known.set(database, schema = { version: database.schema, tables: new Map(), ordinary: undefined });
  }
  return schema;
}

export function tableOf(database: Database, name: string): Table {
  const { tables } = schemaOf(database);
  let table = tables.get(name);
  if (table === undefined) tables.set(name, table = look(database, name));
  return table;
}

/** Whether no step of the query can fail: no function in it that can, nothing but ordinary tables, no LIMIT of unknown type. */
export function cannotFail({ effects, database, sql }: Statement): boolean {
  if (!effects.total || variableLimit.test(sql)) return false;
  if (effects.reads.size === 0) return true;
  const schema = schemaOf(database);
  schema.ordinary ??= ordinaryTables(database);
  for (const name of effects.reads) if (!schema.ordinary.has(name)) return false;
  return true;
}
const variableLimit = /\b(?:limit|offset)\b(?!\s+\d+\b(?!\s*,))/i;

function ordinaryTables(database: Database): Set<string> {
  const rows = ask(database, "SELECT name FROM sqlite_schema WHERE type = 'view' OR type = 'table' AND rootpage > 0");
  return new Set(["sqlite_master", "sqlite_schema", ...rows.map((row) => String(row[0]))]);
}

function look(database: Database, name: string): Table {
  const quoted = quote(name);
  const [listed] = ask(database, `PRAGMA main.table_list(${quoted})`); // schema, name, type, ncol, wr, strict
  const withoutRowid = Number(listed?.[4] ?? 0) === 1;
  const indexes = ask(database, `PRAGMA main.index_list(${quoted})`) // seq, name, unique, origin, partial
    .filter((index) => !(withoutRowid && index[3] === "pk"))
    .map((index) => ask(database, `PRAGMA main.index_info(${quote(String(index[1]))})`).map((column) => String(column[2])));
  const keys = ask(database, `PRAGMA main.table_info(${quoted})`).filter((column) => Number(column[5]) > 0); // …, type, …, pk
  const integerKey = !withoutRowid && keys.length === 1 && String(keys[0]![2]).toUpperCase() === "INTEGER";
  const sql = ask(database, `SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ${quote(name, "'")}`)[0]?.[0];
  return { indexes, integerKey, autoincrement: integerKey && /autoincrement/i.test(String(sql ?? "")) };
}

/** Runs a query of the storage's own that is asked rarely. */
export function ask(database: Database, sql: string): readonly (readonly unknown[])[] {
  database.settle();
  return database.asTrusted(() => database.trusted(sql).all([]));
}

export function quote(name: string, mark = '"'): string {
  return mark + name.replaceAll(mark, mark + mark) + mark;
}
