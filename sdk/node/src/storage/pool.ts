/*
 * Open databases. A handle outlives the instance that used it, for opening costs half a millisecond;
 * those that nobody uses are kept up to a bound, the longest unused go first.
 */

import { createDatabase, databaseExists } from "./files.ts";
import { KvTable } from "./kv.ts";
import { Metadata } from "./metadata.ts";
import { Database, type DatabaseOptions, emptyDatabase, unusable } from "./sqlite.ts";
import { Statements } from "./statements.ts";

/** File descriptors that an open database takes: the file, its WAL and the shared memory beside it. */
const descriptorsPerDatabase = 3;

/** An open database and what is compiled for it. One object uses it at a time. */
export class Handle {
  readonly path: string;
  readonly database: Database;
  readonly statements: Statements;
  readonly kv: KvTable;
  readonly metadata: Metadata;
  /** Who uses it. */
  user: { letGo(): boolean } | null = null;
  /** It was used since the pool looked for one that is not. */
  touched = false;
  /** Nobody has looked yet which alarm there was when it was opened. */
  fresh = true;

  constructor(path: string, database: Database) {
    this.path = path;
    this.database = database;
    this.statements = new Statements(database);
    this.kv = new KvTable(database);
    this.metadata = new Metadata(database);
  }

  /** What was known of the database may be wrong: a rollback, or everything was dropped. */
  forget(): void {
    this.database.schema++;
    this.database.leavePlace();
    this.kv.forget();
    this.metadata.forget();
  }
}

export interface PoolOptions {
  /**
   * How many databases are kept open, those in use included. In use there may be more, unless memory
   * is `short`: then objects that are in the middle of nothing let go of theirs.
   */
  readonly maxOpen: number;
  /** Largest string, blob or row. */
  readonly rowBytes: number;
  /** Largest page cache of one database. */
  readonly cacheBytes: number;
  /** Largest database file; Cloudflare's limit if it is not said. */
  readonly databaseBytes?: number;
  /** Whether little memory is left. Asked when more than `maxOpen` are open and another is opened. */
  readonly short?: () => boolean;
  /** Told when the pool has a database open no more. */
  readonly closed?: (path: string) => void;
}

export class DatabasePool {
  readonly #options: PoolOptions;
  readonly #databases: DatabaseOptions;
  readonly #used = new Map<string, Handle>();
  /** Those that nobody uses, the longest unused first. */
  readonly #idle = new Map<string, Handle>();
  /** Those that could not be closed yet; see Database.close. */
  readonly #stuck = new Set<Handle>();
  /** Those that are not to be kept once they are not used. */
  readonly #leaving = new Set<string>();
  #empty: Handle | null = null;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#databases = { databaseBytes: 10 * 2 ** 30, ...options };
  }

  /** A database without tables, for objects that have written nothing. Nobody ever writes to it. */
  get empty(): Handle {
    return this.#empty ??= new Handle("", new Database(null, this.#databases));
  }

  /** How many databases are open. */
  get open(): number {
    return this.#used.size + this.#idle.size + this.#stuck.size;
  }

  /** How many file descriptors that takes. */
  get descriptors(): number {
    return this.open * descriptorsPerDatabase;
  }

  /** Whether the database is open here. */
  has(path: string): boolean {
    if (this.#used.has(path) || this.#idle.has(path)) return true;
    for (const handle of this.#stuck) if (handle.path === path) return true;
    return false;
  }

  /** The database at `path`, for the caller alone until `release`; null if there is none. */
  acquire(path: string): Handle | null {
    const idle = this.#idle.get(path);
    if (idle !== undefined) {
      this.#idle.delete(path);
      return this.#use(idle);
    }
    return unusable(() => databaseExists(path, emptyDatabase().length)) ? this.#open(path) : null;
  }

  /** As `acquire`, and makes it if there is none. */
  create(path: string): Handle {
    const there = this.acquire(path);
    if (there !== null) return there;
    unusable(() => createDatabase(path, emptyDatabase()));
    return this.#open(path);
  }

  /** Gives a handle back. No transaction is open. */
  release(handle: Handle): void {
    handle.database.closeQueries();
    handle.user = null;
    handle.database.asked = false;
    this.#used.delete(handle.path);
    if (!handle.database.clean || this.#leaving.has(handle.path)) {
      this.#close(handle);
      return;
    }
    handle.database.shrink();
    this.#idle.set(handle.path, handle);
    this.#shrink();
  }

  /** Closes a handle that is of no use any more; an open transaction is rolled back by that. */
  discard(handle: Handle): void {
    this.#used.delete(handle.path);
    this.#close(handle);
  }

  /** Closes the database at `path`: now, or when it is not used any more. */
  close(path: string): void {
    if (this.#used.has(path)) this.#leaving.add(path);
    const idle = this.#idle.get(path);
    this.#idle.delete(path);
    if (idle !== undefined) this.#close(idle);
    else this.#unstick();
  }

  /** The database at `path` gives back its place in the WAL until it is written to again. */
  leavePlace(path: string): void {
    this.#used.get(path)?.database.leavePlace();
  }

  /** Closes every database that nobody uses. */
  closeIdle(): void {
    for (const path of [...this.#idle.keys()]) this.close(path);
  }

  #open(path: string): Handle {
    if (this.#used.has(path)) throw new Error("the database is in use by another instance");
    this.#unstick(); // It may be this one, and have a transaction open.
    if (this.open >= this.#options.maxOpen && this.#options.short?.() === true) this.#takeBack();
    const handle = new Handle(path, unusable(() => new Database(path, this.#databases)));
    this.#use(handle);
    this.#shrink();
    return handle;
  }

  /** Makes room for one more: objects in the middle of nothing let go of theirs, but not of one that was used since they were looked at. */
  #takeBack(): void {
    let tooMany = this.open + 1 - this.#options.maxOpen;
    for (const handle of [...this.#used.values()]) {
      if (tooMany <= 0) return;
      if (handle.touched) handle.touched = false;
      else if (handle.user?.letGo() === true) tooMany--;
    }
  }

  #use(handle: Handle): Handle {
    this.#leaving.delete(handle.path);
    this.#used.set(handle.path, handle);
    return handle;
  }

  #shrink(): void {
    for (const [path, handle] of this.#idle) {
      if (this.open <= this.#options.maxOpen) return;
      this.#idle.delete(path);
      void this.#close(handle);
    }
  }

  #close(handle: Handle): void {
    this.#stuck.add(handle);
    this.#unstick();
  }

  /** Tries again what could not be closed: there may be descriptors again. */
  #unstick(): void {
    for (const handle of this.#stuck) {
      try {
        handle.database.close();
      } catch {
        continue;
      }
      this.#stuck.delete(handle);
      this.#leaving.delete(handle.path);
      if (!this.has(handle.path)) this.#options.closed?.(handle.path);
    }
  }
}
