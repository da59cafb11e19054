/*
 * A SELECT that has been begun and not ended. It holds its statement and its place in the WAL until
 * it is closed: at its last row, by whoever ends all queries, when somebody else needs the statement
 * and few rows are left, or when nobody can reach it any more.
 */

import type { SqlValue, Statement } from "./sqlite.ts";

/** So many rows are read ahead to free a statement that is wanted again. */
const fewRows = 100;

export class Progress {
  readonly #statement: Statement;
  readonly #rows: Iterator<SqlValue[]>;
  #closed = false;
  #reason: string | undefined;

  // Rows that were read ahead, the next one last, and what reading further threw.
  #ahead: SqlValue[][] | null = null;
  #failure: unknown;

  /** No other query uses the statement. */
  constructor(statement: Statement, values: readonly SqlValue[]) {
    this.#statement = statement;
    this.#rows = statement.iterate(values);
    statement.progress = this;
    statement.database.queries.add(this);
  }

  /** Whether it may have more rows. */
  get more(): boolean {
    return this.#ahead !== null || !this.#closed;
  }

  /** The next row, owned by the caller; null at the end. Throws as authors know it. */
  next(): SqlValue[] | null {
    this.check();
    if (this.#ahead === null) return this.#closed ? null : this.#read();
    const row = this.#ahead.pop()!;
    if (this.#ahead.length === 0) this.#ahead = null;
    return row;
  }

  /** Throws the reason for which it was closed before its end. */
  check(): void {
    if (this.#reason !== undefined) throw new Error(this.#reason);
    if (this.#failure === undefined || this.#ahead !== null) return;
    const failure = this.#failure;
    this.#failure = undefined;
    throw failure;
  }

  /** Reads ahead, if few rows are left, so that the statement is free. Whether it is. */
  spill(): boolean {
    if (this.#closed) return true;
    const rows: SqlValue[][] = [];
    try {
      for (let row = this.#read(); row !== null; row = this.#read()) {
        rows.push(row);
        if (rows.length === fewRows) break;
      }
    } catch (error) {
      this.#failure = error;
    }
    rows.reverse();
    if (this.#ahead !== null) rows.push(...this.#ahead);
    if (rows.length > 0) this.#ahead = rows;
    return this.#closed;
  }

  /** Pairs with the constructor. With a reason, whoever asks for more is told it. */
  close(reason?: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#reason = reason;
    this.#rows.return?.();
    this.#statement.progress = null;
    this.#statement.database.queries.delete(this);
  }

  #read(): SqlValue[] | null {
    const { database, trusted } = this.#statement;
    try {
      const { done, value } = trusted ? database.asTrusted(() => this.#rows.next()) : this.#rows.next();
      if (done !== true) return value;
    } catch (error) {
      this.close();
      throw database.stepError(error);
    }
    this.close();
    return null;
  }
}

const abandoned = new FinalizationRegistry<Progress>((progress) => progress.close());

/** Closes `progress` when the collector takes `holder`, to which it must not lead. */
export function closeWith(holder: object, progress: Progress): void {
  abandoned.register(holder, progress);
}
