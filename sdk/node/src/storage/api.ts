/*
 * What authors see: `ctx.storage` and the `txn` of a transaction. Arguments are converted and
 * checked here; errors are rejections. Cloudflare: "Durable Object Storage API".
 */

import { badParameter, illegalInvocation } from "../errors.ts";
import { Buffer } from "./bytes.ts";
import { optionalText, toOptions, toText, toTime } from "./convert.ts";
import type { StorageHost } from "./host.ts";
import { bytesOf, toRange } from "./keys.ts";
import { SqlStorage } from "./sql.ts";
import type { ObjectStorage } from "./storage.ts";
import { SyncKvStorage } from "./sync-kv.ts";
import type { Frame } from "./transactions.ts";

const deletesInTransaction = "Cannot call deleteAll() within a transaction";
const putForms = "put() may only be called with a single key-value pair and optional options as put(key, value, options) "
  + "or with multiple key-value pairs and optional options as put(entries, options)";
const putUndefined = "put() called with undefined value.";
const noTimeTravel = "This Durable Object's storage back-end does not implement point-in-time recovery.";

/** The operations that `storage` and `txn` have in common, with their arguments as they were given. */
class Operations {
  readonly storage: ObjectStorage;
  readonly host: StorageHost;
  readonly type: string;
  readonly frame: Frame | null;

  constructor(storage: ObjectStorage, host: StorageHost, type: string, frame: Frame | null) {
    this.storage = storage;
    this.host = host;
    this.type = type;
    this.frame = frame;
  }

  get(args: IArguments): unknown {
    const [key, options] = args;
    if (args.length === 0) throw badParameter("get", this.type, 1, "string or Array");
    const keys = Array.isArray(key) ? key.map(toText) : toText(key);
    toOptions(options, "GetOptions", { method: "get", type: this.type, parameter: 2 });
    this.alive("get");
    return typeof keys === "string" ? this.storage.get(keys) : this.#getSeveral(keys);
  }

  #getSeveral(keys: string[]): Map<string, unknown> {
    this.storage.checkCount(keys.length);
    const sorted = [...new Set(keys)].map((key) => [key, bytesOf(key)] as const).sort(([, a], [, b]) => Buffer.compare(a, b));
    const found = new Map<string, unknown>();
    for (const [key] of sorted) {
      const value = this.storage.get(key);
      // A stored undefined (storage.kv can do that) looks as if it were not there.
      if (value !== undefined) found.set(key, value);
    }
    return found;
  }

  put(args: IArguments): void {
    const [first, second, third] = args;
    if (args.length === 0) throw badParameter("put", this.type, 1, "string or object");
    const isEntries = typeof first === "object" && first !== null && !Array.isArray(first);
    if (isEntries) {
      if (second !== undefined && (typeof second !== "object" || second === null)) throw new TypeError(putForms);
      // As the last one in the order of conversion, the third argument has no say here.
      this.alive("put");
      const pairs = Object.entries(first as object).filter(([, value]) => value !== undefined);
      this.storage.checkCount(pairs.length);
      this.storage.put(pairs, isConfirmed(second ?? {}));
      return;
    }
    const key = toText(first);
    const options = toOptions(third, "PutOptions", { method: "put", type: this.type, parameter: 3 });
    if (second === undefined) throw new TypeError(putUndefined);
    this.alive("put");
    this.storage.put([[key, second]], isConfirmed(options));
  }

  delete(args: IArguments): boolean | number {
    const [key, second] = args;
    if (args.length === 0) throw badParameter("delete", this.type, 1, "string or Array");
    const keys = Array.isArray(key) ? key.map(toText) : toText(key);
    const options = toOptions(second, "PutOptions", { method: "delete", type: this.type, parameter: 2 });
    this.alive("delete");
    if (typeof keys === "string") return this.storage.delete([keys], isConfirmed(options)) === 1;
    this.storage.checkCount(keys.length);
    return this.storage.delete(keys, isConfirmed(options));
  }

  list(args: IArguments): Map<string, unknown> {
    const range = toRange(args[0], { method: "list", type: this.type, parameter: 1 });
    this.alive("list");
    return this.storage.list(range);
  }

  getAlarm(args: IArguments): number | null {
    toOptions(args[0], "GetAlarmOptions", { method: "getAlarm", type: this.type, parameter: 1 });
    this.alive("getAlarm");
    return this.storage.alarm;
  }

  setAlarm(args: IArguments): void {
    const time = toTime(args[0], { method: "setAlarm", type: this.type, parameter: 1 });
    const options = toOptions(args[1], "SetAlarmOptions", { method: "setAlarm", type: this.type, parameter: 2 });
    if (time <= 0) throw new TypeError("setAlarm() cannot be called with an alarm time <= 0");
    if (!this.host.hasAlarmHandler()) {
      throw new TypeError("Your Durable Object class must have an alarm() handler in order to call setAlarm()");
    }
    this.alive("setAlarm");
    this.storage.setAlarm(Math.max(time, Date.now()), isConfirmed(options));
  }

  deleteAlarm(args: IArguments): void {
    const options = toOptions(args[0], "SetAlarmOptions", { method: "deleteAlarm", type: this.type, parameter: 1 });
    this.alive("deleteAlarm");
    this.storage.setAlarm(null, isConfirmed(options));
  }

  /** Throws if this is a transaction that is over. */
  alive(operation: string): void {
    const over = this.frame?.over ?? null;
    if (over === "rolled back") throw new Error(`Cannot ${operation}() on rolled back transaction`);
    if (over === "committed") {
      throw new Error(`Cannot call ${operation}() on transaction that has already committed: did you move \`txn\` outside of the closure?`);
    }
  }
}

function isConfirmed(options: Readonly<Record<string, unknown>>): boolean {
  return !options["allowUnconfirmed"];
}

/** `ctx.storage`. */
export class DurableObjectStorage {
  readonly #do: Operations;
  readonly kv: SyncKvStorage;
  readonly sql: SqlStorage;

  constructor(storage: ObjectStorage, host: StorageHost) {
    if (typeof storage?.commitTurn !== "function") throw new TypeError("Illegal constructor");
    this.#do = new Operations(storage, host, "DurableObjectStorage", null);
    this.kv = new SyncKvStorage(storage);
    this.sql = new SqlStorage(storage);
  }

  /** The value of a key, or a Map of those of several keys. */
  async get(_key: string | string[], _options?: object): Promise<unknown> {
    return DurableObjectStorage.#of(this).get(arguments);
  }

  /** Stores a copy of a value, or of each property of an object. */
  async put(_keyOrEntries: string | object, _valueOrOptions?: unknown, _options?: object): Promise<void> {
    DurableObjectStorage.#of(this).put(arguments);
  }

  /** Deletes a key (was it there?) or several (how many were?). */
  async delete(_key: string | string[], _options?: object): Promise<boolean | number> {
    return DurableObjectStorage.#of(this).delete(arguments);
  }

  /** Keys and values in the order of the keys' bytes. */
  async list(_options?: object): Promise<Map<string, unknown>> {
    return DurableObjectStorage.#of(this).list(arguments);
  }

  /** Deletes everything: keys, tables, and the alarm since 2026-02-24. */
  async deleteAll(_options?: object): Promise<void> {
    const { storage, type } = DurableObjectStorage.#of(this);
    const options = toOptions(arguments[0], "PutOptions", { method: "deleteAll", type, parameter: 1 });
    if (storage.transactions.explicit) throw new Error(deletesInTransaction);
    storage.deleteAll(isConfirmed(options));
  }

  /** When the alarm rings next, or null; also null while its handler runs, unless it was set anew. */
  async getAlarm(_options?: object): Promise<number | null> {
    return DurableObjectStorage.#of(this).getAlarm(arguments);
  }

  async setAlarm(_time: number | Date, _options?: object): Promise<void> {
    DurableObjectStorage.#of(this).setAlarm(arguments);
  }

  async deleteAlarm(_options?: object): Promise<void> {
    DurableObjectStorage.#of(this).deleteAlarm(arguments);
  }

  /** Resolves when everything written so far is on disk. */
  async sync(): Promise<void> {
    const { storage, host } = DurableObjectStorage.#of(this);
    storage.check();
    await host.whenDurable();
  }

  /** Runs `callback` as one transaction in which no other event begins; rolled back if it throws. */
  async transaction<T>(callback: (txn: DurableObjectTransaction) => T | Promise<T>): Promise<T> {
    const { storage, host, type } = DurableObjectStorage.#of(this);
    if (typeof callback !== "function") throw badParameter("transaction", type, 1, "function");
    return host.criticalSection(async () => {
      storage.check();
      const frame = storage.guard(() => storage.transactions.begin());
      storage.check(); // The commit of what came before may have failed.
      let result: T;
      try {
        result = await callback(new DurableObjectTransaction(storage, host, frame));
      } catch (error) {
        storage.guard(() => storage.transactions.end(frame, "rollback"));
        throw error;
      }
      storage.guard(() => storage.transactions.end(frame, "commit"));
      storage.check(); // The commit may have failed.
      return result;
    });
  }

  /** Runs `callback`, to its return, as one transaction; rolled back if it throws. */
  transactionSync<T>(callback: () => T): T {
    const { storage, type } = DurableObjectStorage.#of(this);
    if (typeof callback !== "function") throw badParameter("transactionSync", type, 1, "function");
    storage.check();
    return storage.guard(() => storage.transactions.sync(callback));
  }

  /** A text that names the state of this storage; later ones are greater. */
  async getCurrentBookmark(): Promise<string> {
    const { storage, host } = DurableObjectStorage.#of(this);
    if (host.askPast === undefined || !storage.sqlEnabled) return storage.nextBookmark();
    storage.check();
    await host.whenDurable();
    return host.askPast("now", 0, "");
  }

  /** The bookmark of the state that this storage had at a time. */
  async getBookmarkForTime(_time: number | Date): Promise<string> {
    const { storage, host, type } = DurableObjectStorage.#of(this);
    const time = toTime(arguments[0], { method: "getBookmarkForTime", type, parameter: 1 });
    if (host.askPast === undefined || !storage.sqlEnabled) throw new Error(noTimeTravel);
    storage.check();
    return host.askPast("time", Math.max(1, time), "");
  }

  /** Has this storage put back when the object next begins. The bookmark returned undoes that. */
  async onNextSessionRestoreBookmark(_bookmark: string): Promise<string> {
    const { storage, host, type } = DurableObjectStorage.#of(this);
    if (arguments.length === 0) throw badParameter("onNextSessionRestoreBookmark", type, 1, "string");
    const bookmark = optionalText(arguments[0]) ?? "";
    if (host.askPast === undefined || !storage.sqlEnabled) throw new Error(noTimeTravel);
    storage.check();
    return host.askPast("restore", 0, bookmark);
  }

  static #of(self: unknown): Operations {
    if (!(self instanceof Object && #do in self)) throw illegalInvocation();
    return self.#do;
  }
}

/** `txn`: the operations of a storage, as long as its transaction runs. */
export class DurableObjectTransaction {
  readonly #do: Operations;

  constructor(storage: ObjectStorage, host: StorageHost, frame: Frame) {
    if (typeof storage?.commitTurn !== "function") throw new TypeError("Illegal constructor");
    this.#do = new Operations(storage, host, "DurableObjectTransaction", frame);
  }

  async get(_key: string | string[], _options?: object): Promise<unknown> {
    return DurableObjectTransaction.#of(this).get(arguments);
  }

  async put(_keyOrEntries: string | object, _valueOrOptions?: unknown, _options?: object): Promise<void> {
    DurableObjectTransaction.#of(this).put(arguments);
  }

  async delete(_key: string | string[], _options?: object): Promise<boolean | number> {
    return DurableObjectTransaction.#of(this).delete(arguments);
  }

  async list(_options?: object): Promise<Map<string, unknown>> {
    return DurableObjectTransaction.#of(this).list(arguments);
  }

  deleteAll(): never {
    throw new Error(deletesInTransaction);
  }

  async getAlarm(_options?: object): Promise<number | null> {
    return DurableObjectTransaction.#of(this).getAlarm(arguments);
  }

  async setAlarm(_time: number | Date, _options?: object): Promise<void> {
    DurableObjectTransaction.#of(this).setAlarm(arguments);
  }

  async deleteAlarm(_options?: object): Promise<void> {
    DurableObjectTransaction.#of(this).deleteAlarm(arguments);
  }

  /** Undoes the transaction; its callback goes on, outside of it. Once is enough, twice does no harm. */
  rollback(): void {
    const { storage, frame, alive } = DurableObjectTransaction.#of(this);
    if (frame!.over === "rolled back") return;
    alive.call({ frame }, "rollback");
    storage.check();
    storage.guard(() => storage.transactions.rollback(frame!));
  }

  static #of(self: unknown): Operations {
    if (!(self instanceof Object && #do in self)) throw illegalInvocation();
    return self.#do;
  }
}

for (const [Class, tag] of [[DurableObjectStorage, "DurableObjectStorage"], [DurableObjectTransaction, "DurableObjectTransaction"]] as const) {
  Object.defineProperty(Class.prototype, Symbol.toStringTag, { value: tag, configurable: true });
}
