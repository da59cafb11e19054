/*
 * The table of the key-value API: `_cf_KV`, as workerd lays it out. Values are opaque bytes here.
 */

import { boundKey, type Range } from "./keys.ts";
import { Progress } from "./progress.ts";
import type { Database, SqlValue } from "./sqlite.ts";

// A key is bound as text, or as bytes when it has no UTF-8 form; as TEXT it is stored in any case.
const sql = {
  create: `CREATE TABLE IF NOT EXISTS _cf_KV (
        key TEXT PRIMARY KEY,
        value BLOB
      ) WITHOUT ROWID`,
  get: "SELECT value FROM _cf_KV WHERE key = CAST(? AS TEXT)",
  put: "INSERT INTO _cf_KV VALUES (CAST(? AS TEXT), ?) ON CONFLICT DO UPDATE SET value = excluded.value",
  delete: "DELETE FROM _cf_KV WHERE key = CAST(? AS TEXT)",
  list: (bounded: boolean, reverse: boolean) => "SELECT key, value FROM _cf_KV WHERE key >= CAST(? AS TEXT)"
    + `${bounded ? " AND key < CAST(? AS TEXT)" : ""} ORDER BY key${reverse ? " DESC" : ""} LIMIT ?`,
};

/** One stored pair. */
export type Pair = readonly [key: string, value: Uint8Array];

export class KvTable {
  readonly #database: Database;
  // Undefined: it has to be looked up. A rollback may undo the table's making.
  #exists: boolean | undefined;
  #live: Progress | null = null;

  constructor(database: Database) {
    this.#database = database;
  }

  /** After a rollback, or after everything was dropped. */
  forget(): void {
    this.#exists = undefined;
  }

  get(key: string): Uint8Array | undefined {
    if (!this.#there()) return undefined;
    const [row] = this.#database.ask(sql.get, [boundKey(key)]);
    return row === undefined ? undefined : row[0] as Uint8Array;
  }

  /** Within a transaction. */
  put(key: string, value: Uint8Array): void {
    if (!this.#there()) {
      this.#database.run(sql.create);
      this.#database.schema++;
      this.#exists = true;
    }
    this.#database.change(sql.put, [boundKey(key), value]);
  }

  /** Whether it was there. Within a transaction. */
  delete(key: string): boolean {
    return this.#there() && this.#database.change(sql.delete, [boundKey(key)]) > 0;
  }

  list(range: Range | null): Pair[] {
    this.#endLive();
    if (range === null || !this.#there()) return [];
    return this.#database.ask(...listing(range)) as unknown as Pair[];
  }

  /**
   * As `list`, one by one: it sees what is written meanwhile, and rows are pairs. Null if there are
   * none. Ends the one before it, whose holder is told so.
   */
  liveList(range: Range | null): Progress | null {
    this.#endLive();
    this.#database.settle();
    if (range === null || !this.#there()) return null;
    const [text, values] = listing(range);
    return this.#live = this.#database.asTrusted(() => new Progress(this.#database.own(text), values));
  }

  #endLive(): void {
    this.#live?.close(replaced);
    this.#live = null;
  }

  #there(): boolean {
    return this.#exists ??= this.#database.ask("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_cf_KV'", []).length > 0;
  }
}

const replaced = "kv.list() iterator was invalidated because a new call to kv.list() was started. Only one kv.list() iterator can exist at a time.";

function listing({ start, end, reverse, limit }: Range): [text: string, values: SqlValue[]] {
  const bounds = end === null ? [start] : [start, end];
  return [sql.list(end !== null, reverse), [...bounds, limit ?? -1]];
}
