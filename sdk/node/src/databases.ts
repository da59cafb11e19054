/*
 * The databases of this guest's objects: where they stand, and the keeper thread
 * that holds their WALs.
 */

import { statSync } from "node:fs";
import path from "node:path";
import { Worker as Thread } from "node:worker_threads";
import type { Config } from "./config.ts";
import { criticalSection } from "./critical.ts";
import type { GuestObject } from "./object.ts";
import { DatabasePool, defaultLimits, Keeper, ObjectStorage, type StorageHost } from "./storage/index.ts";
import type { Watch } from "./watchdog.ts";

/**
 * A WAL past this many bytes is moved into its database, off this thread. The
 * keeper syncs the WAL first, so nothing is in the database that could be lost
 * from the WAL. It is looked at every so many commits; the file never shrinks
 * while it is open, so seldom once it is large and little of it is new.
 */
const walBytes = 8 << 20;
const commitsPerLook = 16;
const commitsWhenSettled = 256;
const bytesPerFrame = 4096 + 24;

/** Page cache of one open database, in bytes: many objects, few that are busy. */
const cacheBytes = 1 << 20;

export class Databases {
  readonly #config: Config;
  readonly #pool: DatabasePool;
  readonly #keeper: Keeper;
  readonly #checkpointing = new Set<string>();

  /**
   * `thread` is the module of the keeper's thread, whose other work is to `watch` this one; `failed` is told
   * when it fails and no object is to blame.
   */
  constructor(config: Config, thread: URL, watch: Watch | null, failed: (error: Error) => void) {
    this.#config = config;
    const worker = new Thread(thread, { env: {}, stdin: false, workerData: watch });
    worker.unref();
    worker.on("error", failed);
    this.#keeper = new Keeper(worker, (file, error) => failed(new Error(`keeper: ${file}: ${error.message}`)));
    this.#pool = new DatabasePool({ maxOpen: config.limits.openDatabases, rowBytes: defaultLimits.rowBytes, cacheBytes, keeper: this.#keeper });
  }

  open(o: GuestObject): ObjectStorage {
    const { namespace, sql } = this.#config.classes[o.birth.classIndex]!;
    const { id } = o.birth;
    const file = path.join(this.#config.data, namespace, id.slice(0, 2), `${id}.sqlite`);
    let left = commitsPerLook;
    const committed = (): void => {
      if (--left > 0) return;
      left = commitsPerLook;
      this.#checkpointIfLarge(file, (moved) => {
        if (moved < walBytes) left = commitsWhenSettled;
      }, (error) => o.broken(error));
    };
    return new ObjectStorage({ path: file, pool: this.#pool, sqlEnabled: sql, host: hostOf(o, this.#config, committed) });
  }

  /** Closes every database that no object uses. */
  closeIdle(): Promise<void> {
    return this.#pool.closeIdle();
  }

  #checkpointIfLarge(file: string, done: (moved: number) => void, broken: (error: Error) => void): void {
    if (this.#checkpointing.has(file)) return;
    const wal = statSync(`${file}-wal`, { throwIfNoEntry: false });
    if (wal === undefined || wal.size < walBytes) return;
    this.#checkpointing.add(file);
    this.#keeper
      .held(file)
      .then(() => this.#keeper.checkpoint(file))
      .then(({ checkpointed }) => done(checkpointed * bytesPerFrame), broken)
      .finally(() => this.#checkpointing.delete(file));
  }
}

/** What an object's storage needs of the object. */
function hostOf(o: GuestObject, config: Config, committed: () => void): StorageHost {
  return {
    dirty: () => o.dirty(),
    committed: ({ confirmed }) => {
      o.committed(!confirmed);
      committed();
    },
    whenDurable: () => o.whenDurable(true),
    broken: (error) => o.broken(error),
    setAlarm: (time, when) => o.alarmMoved(time, when === "after commit"),
    objectName: o.birth.name,
    foundAlarm: (time) => o.alarmFound(time),
    hasAlarmHandler: () => o.instance === null || typeof o.instance["alarm"] === "function",
    criticalSection: (f) => criticalSection(o, f, { reset: (error) => o.broken(error), rejects: true }),
    compat: { deleteAllDeletesAlarm: config.compat.flags["delete_all_deletes_alarm"] === true },
  };
}
