/*
 * Texts that authors execute, compiled and kept. A text may hold several statements; it is compiled
 * statement by statement as they run, because the later ones may need what the earlier ones make.
 */

import type { Database, Statement } from "./sqlite.ts";

/** Texts longer than this in all are not kept; workerd keeps as much. */
const maxChars = 1 << 20;
const maxTexts = 1000;

const noStatement = "SQL code did not contain a statement.";
const tooManyParameters = "When executing multiple SQL statements in a single call, only the last statement can have parameters.";

/** A text: what runs before, and the statement whose rows and parameters are those of the call. */
export interface Text {
  readonly before: readonly Statement[];
  readonly last: Statement;
}

/** The compiled texts of one open database. The least recently used go first, roughly. */
export class Statements {
  readonly #database: Database;

  // Two generations: a hit in the old one moves to the young one, and when that is half of what may
  // be kept the old one goes. Cheaper than an exact order, which would be rewritten at every use.
  #young = new Map<string, Text>();
  #old = new Map<string, Text>();
  #chars = 0; // of #young

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * The compiled text. On the first use the statements before the last one are run by `run`, as they
   * are compiled; `fresh` says so. A text of which a statement is in use is compiled once more.
   */
  get(sql: string, run: (statement: Statement) => void): { text: Text; fresh: boolean } {
    let text = this.#young.get(sql);
    if (text === undefined) {
      text = this.#old.get(sql);
      if (text !== undefined) {
        this.#old.delete(sql);
        this.#keep(sql, text);
      }
    }
    if (text !== undefined && !isBusy(text)) return { text, fresh: false };
    const compiled = this.#compile(sql, run);
    if (text === undefined) this.#keep(sql, compiled);
    return { text: compiled, fresh: true };
  }

  /** Whether the text is kept. */
  has(sql: string): boolean {
    return this.#young.has(sql) || this.#old.has(sql);
  }

  #compile(sql: string, run: (statement: Statement) => void): Text {
    const before: Statement[] = [];
    for (let rest = sql; ; ) {
      const statement = this.#database.compile(rest);
      if (statement === null) throw new Error(noStatement);
      rest = restAfter(rest, statement);
      if (rest === "") return { before, last: statement };
      if (statement.parameters.count > 0) throw new Error(tooManyParameters);
      run(statement);
      before.push(statement);
    }
  }

  #keep(sql: string, text: Text): void {
    this.#young.set(sql, text);
    this.#chars += sql.length;
    if (this.#chars <= maxChars / 2 && this.#young.size <= maxTexts / 2) return;
    for (const old of this.#old.values()) release(old);
    this.#old = this.#young;
    this.#young = new Map();
    this.#chars = 0;
  }
}

/** What follows a statement in the text that it is the first of. */
export function restAfter(sql: string, statement: Statement): string {
  return sql.slice(statement.sql.length).replace(/^[ \t\n\r\v\f]+/, "");
}

/** Whether a query in progress needs one of the statements, and goes on needing it. */
function isBusy({ before, last }: Text): boolean {
  return isHeld(last) || (before.length > 0 && before.some(isHeld));
}

function isHeld({ progress }: Statement): boolean {
  return progress !== null && !progress.spill();
}

/** Frees what nobody uses; what a query uses is left to the collector. */
function release({ before, last }: Text): void {
  for (const statement of [...before, last]) if (statement.progress === null) statement.finalize();
}
