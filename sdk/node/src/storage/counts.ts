/*
 * `rowsRead` and `rowsWritten`. workerd patches SQLite to count; here they are worked out from what
 * is known: rows that came out, rows that changed, steps through whole tables, the schema. They are
 * exact for the plain INSERT, UPDATE, DELETE, CREATE and SELECT; what is only near is listed with the
 * scenario "cursor: rowsRead and rowsWritten".
 */

import { ask, quote, tableOf } from "./schema.ts";
import type { Statement } from "./sqlite.ts";

/** What is known of an execution. */
export interface Execution {
  readonly statement: Statement;
  /** Rows that came out so far. */
  readonly rows: number;
  /** Rows that SQLite counted as inserted, updated or deleted. */
  readonly changes: number;
  /** By how much what is `watched` has grown. */
  readonly beside: number;
  /** The statement's counters are still those of this execution. */
  readonly own: boolean;
}

/** Rows that were read so far. */
export function rowsRead({ statement, rows, changes, beside, own }: Execution): number {
  const { effects } = statement;
  if (statement.database.closed) return Math.max(rows, changes); // The object has rested since; no more is known.
  if (effects.creates !== undefined) return beside > 0 ? 1 : 0;
  if (effects.schema) return 0;
  if (effects.writes) return effects.inserts.size > 0 ? insertReads(statement, changes) : Math.max(1, scanned(statement, own, changes));
  if (effects.reads.size === 0) return 0;
  const { sorts } = own ? statement.counters() : { sorts: 0 };
  // A key that is not there has been looked for all the same.
  return Math.max(1, scanned(statement, own, rows)) + (sorts > 0 ? rows : 0);
}

/** What grows beside the rows that SQLite counts as changed: ask before and after. 0 if it does not matter. */
export function watched({ effects, database }: Statement): number {
  if (effects.creates !== undefined) return Number(ask(database, "PRAGMA schema_version")[0]![0]);
  if (effects.triggers) return Number(ask(database, "SELECT total_changes()")[0]![0]);
  return 0;
}

/** Rows of tables and indexes that were written. */
export function rowsWritten({ statement, changes, beside }: Execution): number {
  const { effects, database } = statement;
  if (!effects.writes) return 0;
  if (database.closed) return changes;
  if (effects.creates !== undefined) return beside > 0 ? created(statement) : 0;
  if (effects.schema) return 0;
  const triggered = effects.triggers ? Math.max(0, beside - changes) : 0;
  const [table, per] = perRow(statement);
  if (table === undefined || changes === 0) return triggered;
  const sequence = effects.inserts.has(table) && tableOf(database, table).autoincrement ? 1 : 0;
  return changes * per + sequence + triggered;
}

/** The table that a statement changes, and what one row of it costs. */
function perRow({ effects, database }: Statement): [string | undefined, number] {
  const [inserted] = effects.inserts;
  if (inserted !== undefined) return [inserted, 1 + tableOf(database, inserted).indexes.length];
  const [updated] = effects.updates;
  if (updated !== undefined) {
    const [name, columns] = updated;
    const touched = tableOf(database, name).indexes.filter((index) => index.some((column) => columns.has(column)));
    return [name, 1 + touched.length];
  }
  const [deleted] = effects.deletes;
  return [deleted, 1];
}

function created({ effects, database }: Statement): number {
  const { kind, name, table } = effects.creates!;
  if (kind === "index") return 1 + Number(ask(database, `SELECT count(*) FROM ${quote(table)}`)[0]?.[0] ?? 0);
  const { indexes, autoincrement } = tableOf(database, name);
  return 2 + indexes.length + (autoincrement ? 2 : 0);
}

function scanned(statement: Statement, own: boolean, least: number): number {
  const { steps } = own ? statement.counters() : { steps: 0 };
  return Math.max(least, steps > 0 ? steps + 1 : 0);
}

/** A row with an integer key is looked up before it is inserted. */
function insertReads({ effects, database }: Statement, changes: number): number {
  const [table] = effects.inserts;
  return tableOf(database, table!).integerKey ? Math.max(1, changes) : 0;
}
