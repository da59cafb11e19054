/*
 * A SELECT that has been begun and not ended. It holds its statement and its place in the WAL until
 * it is closed: at its last row, by whoever ends all queries, or when nobody can reach it any more.
 */

import type { SqlValue, Statement } from "./sqlite.ts";

export class Progress {
  readonly #statement: Statement;
  readonly #rows: Iterator<SqlValue[]>;
  #over = false;
  #reason: string | undefined;

  /** The statement is not busy. */
  constructor(statement: Statement, values: readonly SqlValue[]) {
    this.#statement = statement;
    this.#rows = statement.iterate(values);
    statement.busy = true;
    statement.database.open.add(this);
  }

  /** The next row, owned by the caller; null at the end. Throws as authors know it. */
  next(): SqlValue[] | null {
    this.check();
    if (this.#over) return null;
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

  /** Throws the reason for which it was closed before its end. */
  check(): void {
    if (this.#reason !== undefined) throw new Error(this.#reason);
  }

  get over(): boolean {
    return this.#over;
  }

  /** Pairs with the constructor. With a reason, whoever asks for more is told it. */
  close(reason?: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#reason = reason;
    this.#rows.return?.();
    this.#statement.busy = false;
    this.#statement.database.open.delete(this);
  }
}

const abandoned = new FinalizationRegistry<Progress>((progress) => progress.close());

/** Closes `progress` when the collector takes `holder`, to which it must not lead. */
export function closeWith(holder: object, progress: Progress): void {
  abandoned.register(holder, progress);
}
