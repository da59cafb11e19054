/*
 * Open databases. A handle outlives the instance that used it, for opening costs half a millisecond;
 * those that nobody uses are kept up to a bound, the longest unused go first.
 */

import { createDatabase, databaseExists } from "./files.ts";
import type { Keeper } from "./keeper.ts";
import { KvTable } from "./kv.ts";
import { Metadata } from "./metadata.ts";
import { Database, type DatabaseOptions, emptyDatabase, unusable } from "./sqlite.ts";
import { Statements } from "./statements.ts";

/** File descriptors that an open database takes here: the file, its WAL and the shared memory beside it. */
const descriptorsPerDatabase = 3;

/** An open database and what is compiled for it. One object uses it at a time. */
export class Handle {
  readonly path: string;
  readonly database: Database;
  readonly statements: Statements;
  readonly kv: KvTable;
  readonly metadata: Metadata;
  /** Set by who uses it: told when the keeper cannot do its part. */
  onKeeperError: ((error: Error) => void) | null = null;
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
    this.kv.forget();
    this.metadata.forget();
  }
}

export interface PoolOptions {
  /** How many databases are kept open, those in use included. In use there may be more. */
  readonly maxOpen: number;
  /** Largest string, blob or row. */
  readonly rowBytes: number;
  /** Largest page cache of one database. */
  readonly cacheBytes: number;
  /** Largest database file; Cloudflare's limit if it is not said. */
  readonly databaseBytes?: number;
  /** Holds the WAL of open databases; without one the last close checkpoints, on this thread. */
  readonly keeper?: Keeper | undefined;
}

export class DatabasePool {
  readonly #options: PoolOptions;
  readonly #databases: DatabaseOptions;
  readonly #used = new Map<string, Handle>();
  /** Those that nobody uses, the longest unused first. */
  readonly #idle = new Map<string, Handle>();
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
    return this.#used.size + this.#idle.size;
  }

  /** How many file descriptors that takes in this process, the keeper's included. */
  get descriptors(): number {
    return this.open * descriptorsPerDatabase + (this.#options.keeper?.descriptors ?? 0);
  }

  /** The database at `path`, for the caller alone until `release`; null if there is none. */
  acquire(path: string): Handle | null {
    const idle = this.#idle.get(path);
    if (idle !== undefined) {
      this.#idle.delete(path);
      return this.#use(idle);
    }
    return unusable(() => databaseExists(path)) ? this.#open(path) : null;
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
    handle.onKeeperError = null;
    handle.database.closeQueries();
    this.#used.delete(handle.path);
    if (!handle.database.clean) {
      handle.database.close();
      return;
    }
    this.#idle.set(handle.path, handle);
    this.#shrink();
  }

  /** Closes a handle that is of no use any more; an open transaction is rolled back by that. */
  discard(handle: Handle): void {
    handle.onKeeperError = null;
    this.#used.delete(handle.path);
    handle.database.close();
  }

  /** Closes every database that nobody uses. */
  async closeIdle(): Promise<void> {
    const handles = [...this.#idle.values()];
    this.#idle.clear();
    await Promise.all(handles.map((handle) => this.#close(handle)));
  }

  #open(path: string): Handle {
    if (this.#used.has(path)) throw new Error("the database is in use by another instance");
    const handle = new Handle(path, unusable(() => new Database(path, this.#databases)));
    this.#options.keeper?.hold(path).catch((error: Error) => {
      this.#options.keeper!.report(path, error);
      handle.onKeeperError?.(error);
    });
    this.#use(handle);
    this.#shrink();
    return handle;
  }

  #use(handle: Handle): Handle {
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

  /** Ours before the keeper's: the last one to close waits for the disk, and that must not be this thread. */
  async #close(handle: Handle): Promise<void> {
    const { keeper } = this.#options;
    if (keeper === undefined) {
      handle.database.close();
      return;
    }
    // The keeper holds it once it has answered what it was asked before.
    await keeper.held(handle.path).then(() => {
      handle.database.close();
      return keeper.release(handle.path);
    }).catch((error: Error) => keeper.report(handle.path, error));
  }
}
