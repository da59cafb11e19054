// The rest of the guest, as far as the storage sees it, in a page: one object whose turns are ended
// by the test, with a critical section that lets in one transaction after the other.

import { AsyncLocalStorage } from "node:async_hooks";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import {
  type Commit, DatabasePool, defaultLimits, ObjectStorage, type PoolOptions, type StorageCompat, type StorageHost, type StorageLimits,
} from "../../src/storage/index.ts";

export interface TestOptions {
  sqlEnabled?: boolean;
  alarmHandler?: boolean;
  name?: string;
  limits?: Partial<StorageLimits>;
  compat?: StorageCompat;
}

/** What the storage told its host, in order. */
export type Told = "dirty" | `commit ${"confirmed" | "unconfirmed"}` | `alarm ${string} ${"before" | "after"} commit`;

/** One object. After a reset a new instance of its storage takes its place. */
export class TestObject implements StorageHost {
  readonly told: Told[] = [];
  readonly found: number[] = [];
  readonly compat: StorageCompat;
  broken_: Error | null = null;
  storage: ObjectStorage;

  readonly path: string;
  readonly #pool: DatabasePool;
  readonly #options: TestOptions;
  #section: Section = new Section(null);

  constructor(path: string, pool: DatabasePool, options: TestOptions = {}) {
    this.path = path;
    this.#pool = pool;
    this.#options = options;
    this.compat = options.compat ?? { deleteAllDeletesAlarm: true };
    this.storage = this.start();
  }

  get api() {
    return this.storage.api;
  }

  /** A new instance over the same file. */
  start(): ObjectStorage {
    this.broken_ = null;
    this.#section = new Section(null);
    const { sqlEnabled = true, limits = {} } = this.#options;
    return this.storage = new ObjectStorage({ path: this.path, pool: this.#pool, sqlEnabled, limits, host: this });
  }

  /** Runs `f` as an event, and ends its turn when it has settled. */
  async event<T>(f: (object: this) => T): Promise<Awaited<T>> {
    try {
      return await f(this);
    } finally {
      this.storage.commitTurn();
    }
  }

  dirty(): void {
    this.told.push("dirty");
  }

  committed({ confirmed }: Commit): void {
    this.told.push(`commit ${confirmed ? "confirmed" : "unconfirmed"}`);
  }

  /** Ends the turn, as if nothing but the disk was waited for. */
  async whenDurable(): Promise<void> {
    await null;
    this.storage.commitTurn();
  }

  broken(error: Error): void {
    this.broken_ = error;
  }

  setAlarm(time: number | null, when: "before commit" | "after commit"): void {
    this.told.push(`alarm ${time} ${when}`);
  }

  get objectName(): string | undefined {
    return this.#options.name;
  }

  foundAlarm(time: number): void {
    this.found.push(time);
  }

  hasAlarmHandler(): boolean {
    return this.#options.alarmHandler ?? true;
  }

  criticalSection<T>(f: () => Promise<T>): Promise<T> {
    const asked = sections.getStore() ?? this.#section;
    // It begins as an event of its own, when the turn of its caller has ended.
    return new Promise<void>((resolve) => setImmediate(resolve)).then(() => asked.live().run(f));
  }
}

const sections = new AsyncLocalStorage<Section>();

/** Critical sections that were asked for within one section run one after the other. */
class Section {
  readonly #parent: Section | null;
  #last: Promise<unknown> = Promise.resolve();
  #over = false;

  constructor(parent: Section | null) {
    this.#parent = parent;
  }

  /** This one, or the nearest around it that has not ended. */
  live(): Section {
    return this.#over && this.#parent !== null ? this.#parent.live() : this;
  }

  run<T>(f: () => Promise<T>): Promise<T> {
    const inner = new Section(this);
    const result = this.#last.then(() => sections.run(inner, f)).finally(() => { inner.#over = true; });
    this.#last = result.catch(() => {});
    return result;
  }
}

/** Puts a file in order that nobody has open, as the host does: here the last close moves the WAL. */
export function moveLog(path: string): void {
  using db = new DatabaseSync(path);
  db.exec("SELECT 1 FROM sqlite_schema");
}

/** A temporary folder with a pool of databases in it. */
export class TestFolder implements AsyncDisposable {
  readonly path: string;
  readonly pool: DatabasePool;
  #objects = 0;

  constructor(options: Partial<PoolOptions> = {}, path = mkdtempSync(join(tmpdir(), "dormouse-storage-"))) {
    this.path = path;
    this.pool = new DatabasePool({ maxOpen: 16, rowBytes: defaultLimits.rowBytes, cacheBytes: 1 << 20, ...options });
  }

  object(options: TestOptions = {}, name = `object-${this.#objects++}`): TestObject {
    return new TestObject(this.file(name), this.pool, options);
  }

  /** The path of an object's database. */
  file(name: string): string {
    return join(this.path, "aa", `${name}.sqlite`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.pool.closeIdle();
    rmSync(this.path, { recursive: true, force: true });
  }
}
