/*
 * The table of what the storage itself keeps: `_cf_METADATA`, as workerd lays it out.
 */

import type { Database } from "./sqlite.ts";

// Rows by number, as workerd has them.
const alarmRow = 1; // Nanoseconds since 1970, or NULL.
const bookmarkRow = 2; // How many bookmarks were given out.
// Ours alone.
const nameRow = 100; // The name behind the id of an object that has had an alarm.

const create = `CREATE TABLE IF NOT EXISTS _cf_METADATA (
        key INTEGER PRIMARY KEY,
        value BLOB
      )`;

export class Metadata {
  readonly #database: Database;
  #exists: boolean | undefined;
  #name: string | undefined; // As it was last written.

  constructor(database: Database) {
    this.#database = database;
  }

  /** After a rollback, or after everything was dropped. */
  forget(): void {
    this.#exists = this.#name = undefined;
  }

  /** Milliseconds since 1970. */
  get alarm(): number | null {
    const value = this.#integer(alarmRow);
    return value === null ? null : Number(value / 1_000_000n);
  }

  /** Within a transaction. */
  set alarm(time: number | null) {
    // What is not there need not be made to be nothing.
    if (time === null && this.#integer(alarmRow) === null) return;
    this.#set(alarmRow, time === null ? null : BigInt(time) * 1_000_000n);
  }

  /** A number that was never given before. Within a transaction. */
  nextBookmark(): bigint {
    const next = this.#integer(bookmarkRow) ?? 0n;
    this.#set(bookmarkRow, next + 1n);
    return next;
  }

  /** Nobody else can say it when an alarm wakes the object. */
  get name(): string | undefined {
    const name = this.#get(nameRow);
    return typeof name === "string" ? name : undefined;
  }

  /** Within a transaction. */
  set name(name: string) {
    if (this.#name === name) return;
    if (this.name !== name) this.#set(nameRow, name);
    this.#name = name;
  }

  #integer(row: number): bigint | null {
    const value = this.#get(row);
    return typeof value === "bigint" ? value : null;
  }

  #get(row: number): unknown {
    this.#exists ??= this.#database.ask("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_cf_METADATA'", []).length > 0;
    if (!this.#exists) return null;
    const [found] = this.#database.ask("SELECT value FROM _cf_METADATA WHERE key = CAST(? AS INTEGER)", [row]);
    return found?.[0] ?? null;
  }

  #set(row: number, value: bigint | string | null): void {
    if (this.#exists !== true) {
      this.#database.run(create);
      this.#database.schema++;
      this.#exists = true;
    }
    const put = "INSERT INTO _cf_METADATA VALUES (CAST(? AS INTEGER), ?) ON CONFLICT DO UPDATE SET value = excluded.value";
    this.#database.change(put, [row, value]);
  }
}
