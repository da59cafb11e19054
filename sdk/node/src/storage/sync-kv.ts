/*
 * `storage.kv`: the key-value API without promises, for SQLite classes.
 */

import { badParameter, illegalInvocation } from "../errors.ts";
import { deserialize } from "./clone.ts";
import { toText } from "./convert.ts";
import { toRange } from "./keys.ts";
import { closeWith, type Progress } from "./progress.ts";
import type { ObjectStorage } from "./storage.ts";

const notSqlite = "The storage.kv (synchronous KV) API is only available for SQLite-backed Durable Objects, but this object's "
  + "namespace is not declared to use SQLite. You can use the older, asyncronous interface via methods of `storage` itself "
  + "(e.g. `storage.get()`). Alternatively, to enable SQLite, change `new_classes` to `new_sqlite_classes` within the "
  + "'migrations' field in your wrangler.jsonc or wrangler.toml file. If using workerd directly, set `enableSql = true` in "
  + "your workerd config for the class. Note that this change cannot be made after the class is already deployed to production.";

export class SyncKvStorage {
  readonly #storage: ObjectStorage;

  constructor(storage: ObjectStorage) {
    if (typeof storage?.liveList !== "function") throw new TypeError("Illegal constructor");
    this.#storage = storage;
  }

  get(_key: string): unknown {
    const storage = SyncKvStorage.#of(this);
    const key = required("get", arguments);
    check(storage);
    return storage.get(key);
  }

  /** Stores a copy; of undefined, too. */
  put(_key: string, _value: unknown): void {
    const storage = SyncKvStorage.#of(this);
    const key = required("put", arguments);
    if (arguments.length < 2) throw badParameter("put", "SyncKvStorage", 2, "Value");
    check(storage);
    storage.put([[key, arguments[1]]], true);
  }

  /** Whether it was there. */
  delete(_key: string): boolean {
    const storage = SyncKvStorage.#of(this);
    const key = required("delete", arguments);
    check(storage);
    return storage.delete([key], true) === 1;
  }

  /** Keys and values, read as they are taken. Only the newest list goes on. */
  list(_options?: object): ListIterator {
    const storage = SyncKvStorage.#of(this);
    const range = toRange(arguments[0], { method: "list", type: "SyncKvStorage", parameter: 1 });
    check(storage);
    return new ListIterator(storage, storage.liveList(range));
  }

  static #of(self: unknown): ObjectStorage {
    if (!(self instanceof Object && #storage in self)) throw illegalInvocation();
    return self.#storage;
  }
}

class ListIterator extends Iterator<[key: string, value: unknown], undefined> {
  readonly #storage: ObjectStorage;
  readonly #progress: Progress | null;

  constructor(storage: ObjectStorage, progress: Progress | null) {
    super();
    if (typeof storage?.liveList !== "function") throw new TypeError("Illegal constructor");
    this.#storage = storage;
    this.#progress = progress;
    if (progress !== null) closeWith(this, progress);
  }

  next(): IteratorResult<[key: string, value: unknown], undefined> {
    if (!(this instanceof Object && #progress in this)) throw illegalInvocation();
    const row = this.#storage.guard(() => this.#progress?.next() ?? null);
    if (row === null) return { done: true, value: undefined };
    return { done: false, value: [row[0] as string, deserialize(row[1] as Uint8Array)] };
  }
}

function check(storage: ObjectStorage): void {
  if (!storage.sqlEnabled) throw new Error(notSqlite);
}

function required(method: string, args: IArguments): string {
  if (args.length === 0) throw badParameter(method, "SyncKvStorage", 1, "string");
  return toText(args[0]);
}

for (const [Class, tag] of [[SyncKvStorage, "SyncKvStorage"], [ListIterator, "ListIterator"]] as const) {
  Object.defineProperty(Class.prototype, Symbol.toStringTag, { value: tag, configurable: true });
}
