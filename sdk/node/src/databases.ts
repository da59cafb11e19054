/*
 * The databases of this guest's objects: where the host says they lie, how long they stay open, and
 * the keeper thread that checkpoints them when the host says so. docs/storage.md has the rules.
 */

import { writeSync } from "node:fs";
import { Worker as Thread } from "node:worker_threads";
import type { Config } from "./config.ts";
import { criticalSection } from "./critical.ts";
import { nativeClearTimeout, nativeSetTimeout } from "./native.ts";
import type { GuestObject } from "./object.ts";
import type { Outlet } from "./outlet.ts";
import { type Checkpoint, DatabasePool, defaultLimits, Keeper, ObjectStorage, type StorageHost } from "./storage/index.ts";
import type { Turns } from "./turn.ts";
import type { Watch } from "./watchdog.ts";
import { frame, pastQuestion, ProtocolError, step } from "./wire.ts";

/**
 * A WAL begins anew when all of it is in the database. A checkpoint behind which an object goes on writing
 * never reaches that; past so many frames the object waits for it, but no longer than `longestWait` (ms).
 */
const framesTooMany = 16_384;
const longestWait = 5000;

/** Past this part of guest_memory objects in the middle of nothing do not keep their databases open. */
const plenty = 0.5;

/** A database as long as this guest holds it: the host gives it with an activation, and gets it back with `database closed`. */
interface File {
  readonly path: string;
  /** The activations that it was given with, the newest last. */
  readonly numbers: number[];
  /** The newest activation may use it: it has not left. */
  alive: boolean;
  /** The newest activation, from its construction on until it leaves. */
  object: GuestObject | null;
  /** The activation under which a checkpoint was asked for. */
  moving: number | null;
  /** The last checkpoint has left much behind. */
  behind: boolean;
  /** Lets the object go on that waits for a checkpoint. */
  goOn: (() => void) | null;
}

export class Databases {
  readonly #config: Config;
  readonly #turns: Turns;
  readonly #pool: DatabasePool;
  readonly #keeper: Keeper;
  readonly #byNumber = new Map<number, File>();
  readonly #byPath = new Map<string, File>();
  /** What the host is to be told, with the next write. */
  #news: ((out: Outlet) => void)[] = [];

  /**
   * `thread` is the module of the keeper's thread, whose other work is to `watch` this one; `failed` is told
   * when it fails and no object is to blame.
   */
  constructor(config: Config, turns: Turns, thread: URL, watch: Watch | null, failed: (error: Error) => void) {
    this.#config = config;
    this.#turns = turns;
    const worker = new Thread(thread, { env: {}, stdin: false, workerData: watch });
    worker.unref();
    worker.on("error", failed);
    worker.on("exit", () => failed(new Error("the keeper thread has ended")));
    this.#keeper = new Keeper(worker, (path) => this.#pool.leavePlace(path));
    this.#pool = new DatabasePool({
      maxOpen: config.limits.openDatabases, rowBytes: defaultLimits.rowBytes, cacheBytes: config.limits.databaseCache, closed: (path) => this.#closed(path),
      short: () => config.limits.guestMemory > 0 && process.memoryUsage.rss() > config.limits.guestMemory * plenty,
    });
  }

  // ---- What the host says

  /** The database of the object that starts next. */
  given(number: number, path: string): void {
    if (this.#byNumber.has(number)) throw new ProtocolError(`object ${number} started twice`);
    let file = this.#byPath.get(path);
    if (file === undefined) {
      file = { path, numbers: [], alive: true, object: null, moving: null, behind: false, goOn: null };
      this.#byPath.set(path, file);
    }
    file.alive = true;
    file.numbers.push(number);
    this.#byNumber.set(number, file);
    this.#giveBack(file); // What earlier activations had is this one's now.
  }

  /** A step of a checkpoint. A database that was closed meanwhile is none of ours any more, as the host will hear. */
  checkpoint(number: number, what: number): void {
    const file = this.#byNumber.get(number);
    if (file === undefined) return;
    if (what === step.holdSnapshot) this.#begin(file, number);
    else if (file.moving !== number) throw new ProtocolError(`step ${what} of a checkpoint of object ${number} that has not begun`);
    else if (what === step.moveFrames) this.#keeper.move(file.path).then((done) => this.#moved(file, done), (e: Error) => this.#notMoved(file, e));
    else if (what === step.endSnapshot) this.#keeper.end(file.path).then(() => this.#moved(file, null), (e: Error) => this.#notMoved(file, e));
    else throw new ProtocolError(`step ${what} of a checkpoint`);
  }

  /** The database is not to be kept open. */
  close(number: number): void {
    const file = this.#byNumber.get(number);
    if (file === undefined) return;
    this.#pool.close(file.path);
    this.#giveBack(file);
  }

  /** Tells the host what there is to be told. Called before each write. */
  report(out: Outlet): void {
    if (this.#news.length === 0) return;
    const news = this.#news;
    this.#news = [];
    for (const say of news) say(out);
  }

  // ---- What objects do

  open(o: GuestObject): ObjectStorage {
    const { sql } = this.#config.classes[o.birth.classIndex]!;
    const file = this.#byNumber.get(o.number);
    if (file !== undefined) file.object = o;
    return new ObjectStorage({ path: file?.path ?? "", pool: this.#pool, sqlEnabled: sql, host: hostOf(o, this.#config) });
  }

  /** The instance has left, or was never made. */
  left(o: GuestObject): void {
    const file = this.#byNumber.get(o.number);
    if (file === undefined) return;
    if (o.number === file.numbers.at(-1)) {
      file.alive = false;
      file.object = null;
    }
    file.goOn?.();
    this.#giveBack(file);
  }

  // ---- Checkpoints

  #begin(file: File, number: number): void {
    if (file.moving !== null) throw new ProtocolError(`a second checkpoint of object ${number}`);
    file.moving = number;
    const hold = (): void => {
      this.#keeper.hold(file.path).then(() => this.#tell((out) => out.number(frame.snapshotHeld, number)), (e: Error) => this.#notMoved(file, e));
    };
    const { object } = file;
    if (!file.behind || object === null || object.gone) {
      hold();
      return;
    }
    let begun = false;
    const once = (): void => {
      if (!begun) hold();
      begun = true;
    };
    file.goOn = once; // Should the object leave before its section begins.
    void criticalSection(object, () => this.#paused(file, once), { reset: (error) => object.broken(error), rejects: true });
  }

  /** Resolves when the checkpoint is over, or takes too long for an object to wait for it. */
  #paused(file: File, hold: () => void): Promise<void> {
    return new Promise((resolve) => {
      const timer = nativeSetTimeout(() => file.goOn?.(), longestWait);
      file.goOn = () => {
        file.goOn = null;
        nativeClearTimeout(timer);
        hold();
        resolve();
      };
      hold();
    });
  }

  #notMoved(file: File, error: Error): void {
    // Without a file there is nothing to move; otherwise the operator should know. The host asks again.
    if (this.#pool.has(file.path)) writeSync(2, `dormouse guest: checkpoint of ${file.path}: ${error.message}\n`);
    this.#moved(file, null);
  }

  #moved(file: File, done: Checkpoint | null): void {
    const number = file.moving!;
    file.moving = null;
    if (done !== null) file.behind = done.moved < done.frames && done.frames > framesTooMany;
    this.#tell((out) => out.twoNumbers(frame.checkpointed, number, done?.moved ?? 0));
    file.goOn?.();
    this.#giveBack(file);
  }

  // ---- Giving back

  #closed(path: string): void {
    const file = this.#byPath.get(path);
    if (file !== undefined) this.#giveBack(file);
  }

  /** Tells of the activations under which the database is not needed any more. */
  #giveBack(file: File): void {
    const newest = file.alive || this.#pool.has(file.path) ? file.numbers.at(-1) : undefined;
    const kept = file.numbers.filter((n) => n === newest || n === file.moving);
    for (const number of file.numbers) {
      if (kept.includes(number)) continue;
      this.#byNumber.delete(number);
      this.#tell((out) => out.number(frame.databaseClosed, number));
    }
    file.numbers.splice(0, file.numbers.length, ...kept);
    if (kept.length === 0) this.#byPath.delete(file.path);
  }

  #tell(say: (out: Outlet) => void): void {
    this.#news.push(say);
    if (!this.#turns.busy) this.#turns.bounce();
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
    objectName: o.birth.name,
    foundAlarm: (time) => o.alarmFound(time),
    askPast: (what, time, bookmark) => o.askPast(pastQuestion[what], time, bookmark),
    hasAlarmHandler: () => o.instance === null || typeof o.instance["alarm"] === "function",
    criticalSection: (f) => criticalSection(o, f, { reset: (error) => o.broken(error), rejects: true }),
    compat: { deleteAllDeletesAlarm: config.compat.flags["delete_all_deletes_alarm"] === true },
  };
}
