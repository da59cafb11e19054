/*
 * The databases of this guest's objects: where they stand, and the keeper thread
 * that holds their WALs.
 */

import path from "node:path";
import { Worker as Thread } from "node:worker_threads";
import type { Config } from "./config.ts";
import { criticalSection } from "./critical.ts";
import type { GuestObject } from "./object.ts";
import { DatabasePool, defaultLimits, Keeper, ObjectStorage, type StorageHost } from "./storage/index.ts";
import type { Watch } from "./watchdog.ts";

/** Page cache of one open database, in bytes: many objects, few that are busy. */
const cacheBytes = 1 << 20;

export class Databases {
  readonly #config: Config;
  readonly #pool: DatabasePool;

  /**
   * `thread` is the module of the keeper's thread, whose other work is to `watch` this one; `failed` is told
   * when it fails and no object is to blame.
   */
  constructor(config: Config, thread: URL, watch: Watch | null, failed: (error: Error) => void) {
    this.#config = config;
    const worker = new Thread(thread, { env: {}, stdin: false, workerData: watch });
    worker.unref();
    worker.on("error", failed);
    const keeper = new Keeper(worker, (file, error) => failed(new Error(`keeper: ${file}: ${error.message}`)));
    this.#pool = new DatabasePool({ maxOpen: config.limits.openDatabases, rowBytes: defaultLimits.rowBytes, cacheBytes, keeper });
  }

  open(o: GuestObject): ObjectStorage {
    const { namespace, sql } = this.#config.classes[o.birth.classIndex]!;
    const { id } = o.birth;
    return new ObjectStorage({
      path: path.join(this.#config.data, namespace, id.slice(0, 2), `${id}.sqlite`),
      pool: this.#pool,
      sqlEnabled: sql,
      host: hostOf(o, this.#config),
    });
  }
}

/** What an object's storage needs of the object. */
function hostOf(o: GuestObject, config: Config): StorageHost {
  return {
    dirty: () => o.dirty(),
    committed: ({ confirmed }) => o.committed(!confirmed),
    whenDurable: () => o.whenDurable(true),
    broken: (error) => o.broken(error),
    setAlarm: (time, when) => o.alarmMoved(time, when === "after commit"),
    hasAlarmHandler: () => o.instance === null || typeof o.instance["alarm"] === "function",
    criticalSection: (f) => criticalSection(o, f, { reset: (error) => o.broken(error), rejects: true }),
    compat: { deleteAllDeletesAlarm: config.compat.flags["delete_all_deletes_alarm"] === true },
  };
}
