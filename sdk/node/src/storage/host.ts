/*
 * What the storage of one object needs from the rest of the guest. The storage knows transactions
 * and files; it never sees sockets, gates or frames.
 */

/** A transaction that is in the WAL now, and not yet on disk. */
export interface Commit {
  /** Outputs that follow wait until it is durable. False if every write was `allowUnconfirmed`, or nothing was written in the end. */
  readonly confirmed: boolean;
}

/** The object around a storage. */
export interface StorageHost {
  /**
   * The turn's implicit transaction has begun: `commitTurn` is called at the end of this turn, and
   * outputs made from here on stay behind its commit. Not told within `transaction()`: what an open
   * transaction sends is not held, or awaiting an answer inside it would wait for itself.
   */
  dirty(): void;

  /** A transaction was committed: that of the turn (after `dirty`), or one of `transaction()`. */
  committed(commit: Commit): void;

  /** A promise that everything committed so far (and the open turn) is on disk; null if it is. */
  whenDurable(): Promise<void> | null;

  /** The storage cannot go on: the object is reset with this error. Called once; nothing works afterwards. */
  broken(error: Error): void;

  /**
   * The alarm has moved. Earlier is told before the commit and later (or none) after it, so that
   * an index of alarms is never later than the truth.
   */
  setAlarm(time: number | null, when: "before commit" | "after commit"): void;

  /** The database was opened and has this alarm, of which the index may not know. */
  foundAlarm(time: number): void;

  /**
   * Asks for a bookmark: of what is durable now, of a time, or to go back to a bookmark when the object
   * next begins. Missing: there is no history.
   */
  askPast?(what: "now" | "time" | "restore", time: number, bookmark: string): Promise<string>;

  /** The name behind the object's id, if it is known. */
  readonly objectName: string | undefined;

  /** Whether the class has an alarm handler. True while the constructor runs: it cannot be known yet. */
  hasAlarmHandler(): boolean;

  /**
   * Runs `f` as `blockConcurrencyWhile` would: other events wait, and it begins after the caller's
   * synchronous part. Its failure rejects, and does not reset the object.
   */
  criticalSection<T>(f: () => Promise<T>): Promise<T>;

  /** Behaviour that depends on the compatibility date. */
  readonly compat: StorageCompat;
}

export interface StorageCompat {
  /** `delete_all_deletes_alarm`, from 2026-02-24. */
  readonly deleteAllDeletesAlarm: boolean;
}

/** Limits of one object's storage. The defaults are Cloudflare's. */
export interface StorageLimits {
  /** Largest string, blob or row, and so key and value together, of a SQLite class. */
  readonly rowBytes: number;
  /** Keys per `get`, `put` or `delete`. */
  readonly pairs: number;
  /** Key and value of a class with the older key-value back-end. */
  readonly classicKeyBytes: number;
  readonly classicValueBytes: number;
}

export const defaultLimits: StorageLimits = {
  rowBytes: 2_200_000, // 2 MiB for the value, and room for the key and the row around it.
  pairs: 128,
  classicKeyBytes: 2048,
  classicValueBytes: 128 << 10,
};
