/*
 * What keeps an object in memory beside its events: timers, fetches, waitUntil,
 * sockets. Each task knows since when and from which of the author's lines, so
 * that "why is this object awake?" has an answer.
 */

export type TaskKind = "timer" | "fetch" | "call" | "rpc" | "waitUntil" | "socket" | "outbound socket" | "body" | "other";

export interface Task {
  readonly kind: TaskKind;
  readonly since: number; // ms since 1970
  readonly detail: string;
  /** Has the author's stack as its `stack`, of an object's task; formatted only when somebody asks. */
  readonly trace: { stack?: string };
  /** False when the task no longer keeps the object (limits.taskKeepalive, ignoreTimersBeyond). */
  counts: boolean;
}

export class Tasks {
  readonly #all = new Set<Task>();
  readonly #traced: boolean;
  #counted = 0;

  /** Whether to keep from which line each comes: microseconds, and nobody asks why the Worker is awake. */
  constructor(traced = true) {
    this.#traced = traced;
  }

  /** How many keep the object in memory. */
  get count(): number {
    return this.#counted;
  }

  /** Whether the object waits for something outside. */
  get outbound(): boolean {
    for (const { kind, counts } of this.#all) if (counts && (kind === "fetch" || kind === "outbound socket")) return true;
    return false;
  }

  get size(): number {
    return this.#all.size;
  }

  begin(kind: TaskKind, detail: string, counts: boolean): Task {
    const task: Task = { kind, since: Date.now(), detail, trace: this.#traced ? trace() : untraced, counts };
    this.#all.add(task);
    if (counts) this.#counted++;
    return task;
  }

  /** Whether it was still there. */
  finish(task: Task): boolean {
    if (!this.#all.delete(task)) return false;
    if (task.counts) this.#counted--;
    return true;
  }

  /** Tasks older than this no longer count. Whether that changed anything. */
  expire(before: number): boolean {
    let changed = false;
    for (const task of this.#all) {
      if (!task.counts || task.since > before) continue;
      task.counts = false;
      this.#counted--;
      changed = true;
    }
    return changed;
  }

  clear(): void {
    this.#all.clear();
    this.#counted = 0;
  }

  /** For the report. */
  list(): { kind: string; since: number; detail: string; stack: string }[] {
    return [...this.#all]
      .filter((t) => t.counts)
      .map((t) => ({ kind: t.kind, since: t.since, detail: t.detail, stack: authorLine(t.trace.stack ?? "") }));
  }
}

const untraced = {};

/** A stack is captured (microseconds) but not formatted. */
function trace(): { stack?: string } {
  const holder: { stack?: string } = {};
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 12;
  Error.captureStackTrace(holder, trace);
  Error.stackTraceLimit = limit;
  return holder;
}

/** Our own frames stand on top of the author's: they come from this file's bundle or folder. */
function authorLine(stack: string): string {
  for (const line of stack.split("\n").slice(1)) {
    const at = line.trim();
    if (!at.startsWith("at ") || at.includes("node:") || at.includes(import.meta.url) || at.includes(ownFolder) || !/:\d+:\d+\)?$/.test(at)) continue;
    return at.slice(3);
  }
  return "";
}

const ownFolder = import.meta.url.slice(0, import.meta.url.lastIndexOf("/") + 1);
