/*
 * The storage of one object: its database, its transactions, and what authors see of them. The rest
 * of the guest tells it when a turn ends, and is told through StorageHost.
 */

import { DurableObjectStorage } from "./api.ts";
import { deserialize, serialize } from "./clone.ts";
import { defaultLimits, type StorageHost, type StorageLimits } from "./host.ts";
import { type Range, sizeOf } from "./keys.ts";
import type { Metadata } from "./metadata.ts";
import type { DatabasePool, Handle } from "./pool.ts";
import type { Progress } from "./progress.ts";
import type { SqlEngine } from "./sql.ts";
import { codeName } from "./sqlite-errors.ts";
import { type Database, endsDatabase, nativeOf, pageSize } from "./sqlite.ts";
import { type Around, type AroundState, Transactions } from "./transactions.ts";

export interface ObjectStorageOptions {
  /** Where the object's database is, or will be when something is written. */
  readonly path: string;
  /** The databases of this guest. */
  readonly pool: DatabasePool;
  /** Whether the class has SQL (`new_sqlite_classes`), or the older key-value back-end (`new_classes`). */
  readonly sqlEnabled: boolean;
  readonly limits?: Partial<StorageLimits>;
  readonly host: StorageHost;
}

const gone = "Durable Object storage is no longer accessible.";
const constraintsViolated = "Durable Object was reset and rolled back to its last known good state because the "
  + "application left the database in a state where constraints were violated: ";
const criticalError = "Cannot commit transaction due to an earlier SQL critical error";

export class ObjectStorage implements SqlEngine {
  /** What authors know as `ctx.storage`. */
  readonly api: DurableObjectStorage;
  readonly sqlEnabled: boolean;
  readonly limits: StorageLimits;
  readonly transactions: Transactions;

  readonly #path: string;
  readonly #pool: DatabasePool;
  readonly #host: StorageHost;

  #handle: Handle | null = null;
  #looked = false; // It is known whether there is a database.
  #over = false; // Closed or broken.

  /** What a rollback takes back, beside the database. */
  readonly #state: AroundState = { alarmHidden: false, alarmRenewed: false, deletedAll: false };
  #running: number | null = null; // The time of the alarm whose handler runs.
  // The alarm as it is committed, from the first time that a transaction moves it; undefined: not moved.
  #alarmBefore: number | null | undefined;

  constructor({ path, pool, sqlEnabled, limits, host }: ObjectStorageOptions) {
    this.#path = path;
    this.#pool = pool;
    this.#host = host;
    this.sqlEnabled = sqlEnabled;
    this.limits = { ...defaultLimits, ...limits };
    this.transactions = new Transactions(this.#around());
    this.api = new DurableObjectStorage(this, host);
  }

  // ---- What the host calls

  /** Ends the turn. Whether there was something to commit; then `committed` or `broken` was told. */
  commitTurn(): boolean {
    if (this.#over) return false;
    return this.transactions.commitTurn();
  }

  /** Undoes what is not committed. The host drops the outputs made since `dirty`. */
  rollbackTurn(): void {
    if (!this.#over) this.transactions.rollbackAll();
  }

  /** The instance leaves. What is not committed is rolled back; nothing works afterwards. */
  close(): void {
    if (this.#over) return;
    this.transactions.rollbackAll();
    this.#over = true;
    if (this.#handle !== null) this.#pool.release(this.#handle);
    this.#handle = null;
  }

  /**
   * Gives the database back if the object is in the middle of nothing: it is opened again when it is needed.
   * Whether it did.
   */
  letGo(): boolean {
    const handle = this.#handle;
    if (this.#over || handle === null || this.transactions.running || handle.database.busy) return false;
    this.#handle = null;
    this.#looked = false;
    this.#pool.release(handle);
    return true;
  }

  /**
   * The time for which the index of alarms woke the object has come. The truth: the alarm's time if
   * its handler is to run now (pairs with `finishAlarm`; until then it is hidden from the author),
   * otherwise null and the time of the alarm there is.
   */
  startAlarm(now: number): { readonly due: number } | { readonly due: null; readonly next: number | null } {
    this.check();
    const time = this.guard(() => this.#reading?.metadata.alarm ?? null);
    if (time === null || time > now) return { due: null, next: time };
    this.#state.alarmHidden = true;
    this.#running = time;
    return { due: time };
  }

  /** The handler has ended. An alarm that is done, and was not set anew, is deleted: a write of this turn. */
  finishAlarm(done: boolean): void {
    this.#running = null;
    if (this.#over || !this.#state.alarmHidden) return;
    if (done) this.setAlarm(null, true);
    this.#state.alarmHidden = false;
  }

  /** The handler that runs has been given up for good: deletes its alarm, unless another is committed. A write of this turn. */
  dropAlarm(): void {
    const running = this.#running;
    this.#running = null;
    if (!this.#over && running !== null && this.#reading?.metadata.alarm === running) this.setAlarm(null, true);
  }

  // ---- Key-value

  get(key: string): unknown {
    this.check();
    this.#checkKey(key);
    return this.guard(() => {
      const bytes = this.#reading?.kv.get(key);
      return bytes === undefined ? undefined : deserialize(bytes);
    });
  }

  /** Stores copies of the values, all or none if one cannot be stored. */
  put(pairs: readonly (readonly [key: string, value: unknown])[], confirmed: boolean): void {
    this.check();
    const written = pairs.map(([key, value]) => {
      this.#checkKey(key);
      const bytes = serialize(value);
      const most = this.limits.classicValueBytes;
      if (!this.sqlEnabled && bytes.length > most) {
        throw new RangeError(`Values cannot be larger than ${most} bytes. A value of size ${bytes.length} was provided.`);
      }
      return [key, bytes] as const;
    });
    if (written.length === 0) return;
    this.guard(() => {
      const { kv } = this.writing(confirmed);
      for (const [key, bytes] of written) kv.put(key, bytes);
    });
  }

  /** How many of the keys were there. */
  delete(keys: readonly string[], confirmed: boolean): number {
    this.check();
    for (const key of keys) this.#checkKey(key);
    return this.guard(() => {
      // Where there is no database there is nothing to delete.
      if (keys.length === 0 || this.#reading === null) return 0;
      const { kv } = this.writing(confirmed);
      return keys.filter((key) => kv.delete(key)).length;
    });
  }

  list(range: Range | null): Map<string, unknown> {
    this.check();
    return this.guard(() => {
      const pairs = this.#reading?.kv.list(range) ?? [];
      return new Map(pairs.map(([key, bytes]) => [key, deserialize(bytes)]));
    });
  }

  liveList(range: Range | null): Progress | null {
    this.check();
    return this.guard(() => this.#reading?.kv.liveList(range) ?? null);
  }

  checkCount(count: number): void {
    const { pairs } = this.limits;
    if (count > pairs) throw new RangeError(`Maximum number of key value pairs is ${pairs}. ${count} pairs were provided.`);
  }

  // ---- Alarms

  get alarm(): number | null {
    this.check();
    return this.#state.alarmHidden ? null : this.guard(() => this.#reading?.metadata.alarm ?? null);
  }

  setAlarm(time: number | null, confirmed: boolean): void {
    this.check();
    this.guard(() => {
      if (time === null && this.#reading === null) return;
      const { metadata } = this.writing(confirmed);
      if (this.#alarmBefore === undefined) this.#alarmBefore = metadata.alarm;
      metadata.alarm = time;
      if (time !== null) this.#keepName(metadata);
      if (time === null || !this.#state.alarmHidden) return;
      this.#state.alarmHidden = false;
      this.#state.alarmRenewed = true;
    });
  }

  /** What wakes an object for its alarm does not know its name. */
  #keepName(metadata: Metadata): void {
    const name = this.#host.objectName;
    if (name !== undefined) metadata.name = name;
  }

  /** The object's name as of its last alarm; undefined also if its database cannot be read, which its first use will tell. */
  get keptName(): string | undefined {
    try {
      return this.#reading?.metadata.name;
    } catch {
      return undefined;
    }
  }

  // ---- Everything

  /** Drops all keys and tables, and the alarm if the compatibility date says so. Part of the turn's transaction. */
  deleteAll(confirmed: boolean): void {
    this.check();
    this.guard(() => {
      if (this.#reading === null) return;
      const handle = this.writing(confirmed);
      const { database, metadata } = handle;
      const alarm = metadata.alarm;
      if (this.#alarmBefore === undefined) this.#alarmBefore = alarm;
      database.closeQueries("SQLite query was canceled because the database was deleted.");
      dropAll(database);
      handle.forget();
      this.#state.deletedAll = true;
      if (alarm !== null && !this.#host.compat.deleteAllDeletesAlarm) {
        metadata.alarm = alarm;
        this.#keepName(metadata);
      }
    });
  }

  /** Counts as workerd's local bookmarks do. Names no point in time to go back to. */
  nextBookmark(): string {
    this.check();
    const next = this.guard(() => this.writing(true).metadata.nextBookmark());
    const group = (n: bigint) => n.toString(16).padStart(8, "0");
    return `${group(next >> 32n)}-${group(next & 0xffffffffn)}-00000000-${"0".repeat(32)}`;
  }

  // ---- SqlEngine

  check(): void {
    if (this.#over) throw new Error(gone);
  }

  get reading(): Handle {
    return this.#reading ?? this.#pool.empty;
  }

  writing(confirmed = true): Handle {
    this.transactions.beforeWrite(confirmed);
    return this.#handle!;
  }

  guard<T>(f: () => T): T {
    try {
      return f();
    } catch (error) {
      if (endsDatabase(error)) this.#break(failure(error));
      else if (this.transactions.lost) this.#break(new Error(criticalError));
      throw error;
    }
  }

  databaseSize(): number {
    const { database } = this.reading;
    if (database.path === null) return pageSize; // As of an empty file.
    const pages = (name: string) => Number(database.ask(`PRAGMA ${name}`, [])[0]![0]);
    return (pages("page_count") - pages("freelist_count")) * pages("page_size");
  }

  // ---- Inside

  /** The object's database, if it has one. */
  get #reading(): Handle | null {
    if (!this.#looked) {
      this.#adopt(this.#pool.acquire(this.#path));
      this.#looked = true;
      if (this.#handle?.fresh === true) this.#findAlarm(this.#handle);
    }
    if (this.#handle !== null) this.#handle.touched = true;
    return this.#handle;
  }

  /** The file may have come from elsewhere, with an alarm that the index does not know. */
  #findAlarm(handle: Handle): void {
    handle.fresh = false;
    const time = this.#host.hasAlarmHandler() ? handle.metadata.alarm : null;
    if (time !== null) this.#host.foundAlarm(time);
  }

  #adopt(handle: Handle | null): void {
    this.#handle = handle;
    if (handle !== null) handle.user = this;
  }

  #around(): Around {
    return {
      create: () => {
        if (this.#reading === null) this.#adopt(this.#pool.create(this.#path));
        return this.#handle!.database;
      },
      dirty: () => this.#host.dirty(),
      beforeCommit: () => this.#tellAlarm("before commit"),
      committed: (wrote, confirmed) => {
        if (this.#state.deletedAll) this.#shrink();
        this.#host.committed({ confirmed: wrote && confirmed });
        this.#tellAlarm("after commit");
        this.#alarmBefore = undefined;
        this.#state.alarmRenewed = false;
      },
      commitFailed: (error) => this.#break(commitFailure(error)),
      rolledBack: (all) => {
        this.#handle?.forget();
        if (all) this.#alarmBefore = undefined;
      },
      state: this.#state,
    };
  }

  /** Earlier is told before the commit, later and none after it. So is one that was set to the time of the one that runs. */
  #tellAlarm(when: "before commit" | "after commit"): void {
    if (this.#alarmBefore === undefined) return;
    const [before, now] = [this.#alarmBefore, this.#handle!.metadata.alarm];
    if (before === now && !this.#state.alarmRenewed) return;
    const earlier = now !== null && (before === null || now < before);
    if (earlier === (when === "before commit")) this.#host.setAlarm(now, when);
  }

  /** After deleteAll gives the pages back to the file system; the database is small by now. */
  #shrink(): void {
    this.#state.deletedAll = false;
    try {
      this.#handle!.database.vacuum();
    } catch {
      // A cursor was opened since, or there is no room: the pages stay in the file, for later use.
    }
  }

  #break(error: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.transactions.abandon();
    if (this.#handle !== null) this.#pool.discard(this.#handle);
    this.#handle = null;
    this.#host.broken(error);
  }

  #checkKey(key: string): void {
    const most = this.limits.classicKeyBytes;
    // A character takes a byte at least, and three at most.
    if (this.sqlEnabled || key.length * 3 <= most) return;
    const size = sizeOf(key);
    if (size > most) throw new RangeError(`Keys cannot be larger than ${most} bytes. A key of size ${size} was provided.`);
  }
}

/** Virtual tables before others, which may be their shadows. Foreign keys are not looked at before the commit. */
function dropAll(database: Database): void {
  database.run("PRAGMA defer_foreign_keys = ON");
  const objects = "SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
  for (const which of [" AND type = 'view'", " AND rootpage = 0", ""]) {
    for (const [type, name] of database.ask(objects + which, [])) {
      database.run(`DROP ${type} "${String(name).replaceAll('"', '""')}"`);
    }
  }
  for (const [name] of database.ask("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'sqlite\\_stat%' ESCAPE '\\'", [])) {
    database.run(`DROP TABLE ${name}`);
  }
  database.run("PRAGMA defer_foreign_keys = OFF"); // What follows in this turn is checked at once again.
}

const advice: Readonly<Record<string, string>> = {
  SQLITE_CORRUPT: "its file is damaged: restore the object from a backup, or move the file away to begin anew",
  SQLITE_NOTADB: "its file is not a database: restore the object from a backup, or move the file away to begin anew",
  SQLITE_FULL: "the disk is full: make room, the object starts again with its next event",
  SQLITE_IOERR: "the disk could not be read or written: look into the system's log",
  SQLITE_READONLY: "the data folder must be writable for the user that runs this",
  SQLITE_CANTOPEN: "its file could not be opened: look at the permissions of the data folder and the limit of open files",
};

/** What the operator, and whoever called the object, is told. */
function failure(error: unknown): Error {
  const native = nativeOf(error);
  const what = native === undefined ? undefined : advice[codeName(native)];
  const text = (error as Error).message;
  const failed = new Error(`Durable Object storage failed: ${text}${what === undefined ? "" : ` (${what})`}`, { cause: error });
  return Object.assign(failed, { retryable: true }); // It is not the author's doing.
}

function commitFailure(error: unknown): Error {
  const native = nativeOf(error);
  const violated = native !== undefined && codeName(native) === "SQLITE_CONSTRAINT";
  return violated ? new Error(constraintsViolated + (error as Error).message) : failure(error);
}
