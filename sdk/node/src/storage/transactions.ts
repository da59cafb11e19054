/*
 * The transactions of one object. What a turn writes outside of `transaction()` is one implicit
 * transaction, which begins at its first write. `transaction()` and `transactionSync()` nest in it
 * and in each other as savepoints. Nothing is begun in the database before something is written.
 */

import type { Database } from "./sqlite.ts";

/** What transactions need from the storage around them. */
export interface Around {
  /** The object's database, made if there is none. */
  create(): Database;
  /** The turn's implicit transaction has begun. */
  dirty(): void;
  /** Just before COMMIT. */
  beforeCommit(): void;
  /** COMMIT succeeded. `wrote`: something may have changed. */
  committed(wrote: boolean, confirmed: boolean): void;
  /** COMMIT failed: everything since BEGIN is rolled back, and the object is to be reset. */
  commitFailed(error: unknown): void;
  /** What was known of the database may be wrong. `all`: nothing of the transaction is left. */
  rolledBack(all: boolean): void;
  /** State beside the database that a rollback takes back, too. */
  readonly state: AroundState;
}

/** Taken when a transaction begins, given back when it is rolled back. */
export interface AroundState {
  alarmHidden: boolean;
  /** The alarm was set anew while its handler ran. */
  alarmRenewed: boolean;
  deletedAll: boolean;
}

const nestedRuns = "Cannot roll back an outer transaction while a nested transaction is still running.";

const nestedStill = "The transaction was rolled back: its callback ended while a nested transaction was still running. Await the inner one.";

/** One `transaction()` or `transactionSync()` that runs. */
export class Frame {
  readonly kind: "async" | "sync";
  /** It has its savepoint. Invariant: then every frame around it has one. */
  begun = false;
  over: "committed" | "rolled back" | null = null;

  // As things were when it began.
  readonly wrote: boolean;
  readonly confirmed: boolean;
  readonly state: AroundState;

  constructor(kind: "async" | "sync", wrote: boolean, confirmed: boolean, state: AroundState) {
    this.kind = kind;
    this.wrote = wrote;
    this.confirmed = confirmed;
    this.state = { ...state };
  }
}

export class Transactions {
  readonly #around: Around;
  readonly #frames: Frame[] = []; // The outermost first.
  #database: Database | null = null; // While BEGIN was run and not ended.

  // Of the transaction that is open.
  #ready = false; // Every frame has its savepoint: a write needs no preparation.
  #wrote = false;
  #confirmed = false;
  #told = false; // `dirty` was called and its commit has not come.

  constructor(around: Around) {
    this.#around = around;
  }

  /** Whether a `transaction()` runs. */
  get explicit(): boolean {
    return this.#frames.some((frame) => frame.kind === "async");
  }

  /** Whether anything has begun that has not ended. */
  get running(): boolean {
    return this.#database !== null || this.#frames.length > 0 || this.#told;
  }

  /** SQLite has rolled back on its own: an error that takes the whole transaction. */
  get lost(): boolean {
    return this.#database !== null && !this.#database.inTransaction;
  }

  /** Makes sure that a write belongs to a transaction. `confirmed`: outputs shall wait for it. */
  beforeWrite(confirmed: boolean): void {
    if (this.#ready && (this.#confirmed || !confirmed)) return;
    if (this.#database === null) {
      const database = this.#around.create();
      database.begin();
      this.#database = database;
    }
    this.#frames.forEach((frame, depth) => {
      if (frame.begun) return;
      this.#database!.run(`SAVEPOINT ${savepoint(depth)}`);
      frame.begun = true;
    });
    this.#ready = this.#wrote = true;
    this.#confirmed ||= confirmed;
    if (this.#told || this.explicit) return;
    this.#told = true;
    this.#around.dirty();
  }

  /** Ends the turn: commits its implicit transaction. Whether there was one. */
  commitTurn(): boolean {
    if (this.explicit) return false;
    const told = this.#told;
    this.#commit();
    return told;
  }

  /** Undoes everything that is not committed; `transaction()`s that run are over. */
  rollbackAll(): void {
    for (const frame of this.#frames) frame.over = "rolled back";
    const outermost = this.#frames[0];
    this.#frames.length = 0;
    if (outermost !== undefined) Object.assign(this.#around.state, outermost.state);
    this.#rollback();
  }

  /** The database is gone, and every transaction with it. */
  abandon(): void {
    for (const frame of this.#frames) frame.over = "rolled back";
    this.#frames.length = 0;
    this.#reset();
  }

  /** Runs `f` as `transactionSync` does. */
  sync<T>(f: () => T): T {
    const frame = this.#enter("sync");
    let result: T;
    try {
      result = f();
    } catch (error) {
      if (frame.over === null) this.rollback(frame);
      throw error;
    }
    if (frame.over === null) this.commit(frame);
    return result;
  }

  /**
   * Begins a `transaction()`. What the turn has written so far is committed before: it was not
   * meant to wait for this one. Within a critical section, so no other can run beside it.
   */
  begin(): Frame {
    if (this.#frames.some((frame) => frame.kind === "sync")) {
      throw new Error("storage.transaction() cannot begin before the transactionSync() around it has ended.");
    }
    if (!this.explicit) this.#commit();
    return this.#enter("async");
  }

  /**
   * Ends a frame whose callback has ended. Transactions inside it that still run, because nobody
   * awaited them, cannot be committed any more: they are rolled back with it, and this throws.
   */
  end(frame: Frame, how: "commit" | "rollback"): void {
    if (frame.over !== null) return; // It has been rolled back by its callback.
    let orphans = 0;
    for (let top = this.#frames.at(-1)!; top !== frame; top = this.#frames.at(-1)!, orphans++) {
      top.over = "rolled back";
      this.#frames.pop();
    }
    if (how === "rollback" || orphans > 0) this.rollback(frame);
    else this.commit(frame);
    if (orphans > 0 && how === "commit") throw new Error(nestedStill);
  }

  /** Ends a frame; the outermost `transaction()` commits. */
  commit(frame: Frame): void {
    this.#leave(frame, "committed");
    if (frame.begun) this.#database!.run(`RELEASE ${savepoint(this.#frames.length)}`);
    if (this.#frames.length === 0 && frame.kind === "async") this.#commit();
  }

  /** Ends a frame and undoes what was written in it. */
  rollback(frame: Frame): void {
    this.#leave(frame, "rolled back");
    Object.assign(this.#around.state, frame.state);
    this.#wrote = frame.wrote;
    this.#confirmed = frame.confirmed;
    if (!frame.begun) return;
    const name = savepoint(this.#frames.length);
    if (!this.lost) this.#database!.run(`ROLLBACK TO ${name}; RELEASE ${name}`);
    this.#around.rolledBack(false);
    if (this.#frames.length === 0 && frame.kind === "async") this.#rollback();
  }

  #enter(kind: "async" | "sync"): Frame {
    const frame = new Frame(kind, this.#wrote, this.#confirmed, this.#around.state);
    this.#frames.push(frame);
    this.#ready = false;
    return frame;
  }

  #leave(frame: Frame, how: "committed" | "rolled back"): void {
    if (this.#frames.at(-1) !== frame) throw new Error(nestedRuns);
    this.#frames.pop();
    frame.over = how;
    // The frames that are left have savepoints if this one has; otherwise the next write sees to it.
    this.#ready = this.#database !== null && this.#frames.every((f) => f.begun);
  }

  #commit(): void {
    const database = this.#database;
    const [wrote, confirmed, told] = [this.#wrote, this.#confirmed, this.#told];
    if (database !== null) {
      try {
        this.#around.beforeCommit();
        database.commit();
      } catch (error) {
        this.#rollback();
        this.#around.commitFailed(error);
        return;
      }
    }
    this.#reset();
    if (wrote || told) this.#around.committed(wrote, confirmed);
  }

  #rollback(): void {
    const database = this.#database;
    this.#reset();
    if (database === null) return;
    if (database.inTransaction) database.run("ROLLBACK");
    this.#around.rolledBack(true);
  }

  #reset(): void {
    this.#database = null;
    this.#ready = this.#wrote = this.#confirmed = this.#told = false;
  }
}

function savepoint(depth: number): string {
  return `dormouse_${depth}`;
}
