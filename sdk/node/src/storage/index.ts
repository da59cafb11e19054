/*
 * The storage of one object as JavaScript sees it, on `node:sqlite`. It knows files, transactions
 * and values; it never sees sockets, gates or frames, and talks to the rest of the guest through
 * StorageHost. docs/storage.md describes the files.
 */

export { DurableObjectStorage, DurableObjectTransaction } from "./api.ts";
export { deserialize, serialize } from "./clone.ts";
export { Cursor } from "./cursor.ts";
export { type Commit, defaultLimits, type StorageCompat, type StorageHost, type StorageLimits } from "./host.ts";
export { Keeper, type KeeperPort, serveKeeper } from "./keeper.ts";
export { DatabasePool, type PoolOptions } from "./pool.ts";
export { SqlStorage } from "./sql.ts";
export type { Checkpoint } from "./sqlite.ts";
export { ObjectStorage, type ObjectStorageOptions } from "./storage.ts";
export { SyncKvStorage } from "./sync-kv.ts";
