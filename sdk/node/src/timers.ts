/*
 * Timers: a limit, and a turn for each firing. They keep their object in memory
 * and end with it. Authors get a number, or what Node gives where their flags
 * say so.
 */


import { ambient, scopeNow } from "./ambient.ts";
import { nativeClearTimeout, nativeSetImmediate, nativeSetInterval, nativeSetTimeout } from "./native.ts";
import type { Owner } from "./owner.ts";
import { currentScope, type Scope } from "./scope.ts";
import type { Task } from "./tasks.ts";


const maxTimers = 10_000;
const maxDelay = 0x7fffffff;

interface Timer {
  readonly id: number;
  readonly scope: Scope;
  readonly callback: (...args: unknown[]) => unknown;
  readonly args: unknown[];
  readonly delay: number;
  readonly repeat: boolean;
  readonly task: Task;
  native: NodeJS.Timeout | null;
}

const timers = new Map<number, Timer>();
const byOwner = new WeakMap<Owner, Set<Timer>>();
const finished = new WeakMap<Owner, number>();
let lastId = 0;

/** For the author's code; its owner is `scope.owner`. */
function start(scope: Scope, name: string, callback: unknown, delay: unknown, repeat: boolean, args: unknown[]): number {
  if (typeof callback !== "function") {
    nativeSetTimeout(callback as () => void); // Throws, and knows best what.
  }
  const { owner } = scope;
  if (owner.gone) return 0;
  let mine = byOwner.get(owner);
  if (mine === undefined) byOwner.set(owner, (mine = new Set()));
  if (mine.size >= maxTimers) {
    throw new DOMException(
      `You have exceeded the number of active timeouts you may set. max active timeouts: ${maxTimers}, current active timeouts: ${mine.size}, finished timeouts: ${finished.get(owner) ?? 0}`,
      "QuotaExceededError",
    );
  }
  const ms = toDelay(delay);
  const beyond = ambient.config.limits.ignoreTimersBeyond;
  const timer: Timer = {
    id: ++lastId,
    scope,
    callback: callback as Timer["callback"],
    args,
    delay: ms,
    repeat,
    task: owner.begin("timer", `${name} ${ms} ms`, beyond === 0 || ms < beyond),
    native: null,
  };
  timers.set(timer.id, timer);
  mine.add(timer);
  arm(timer);
  return timer.id;
}

/** What authors get under enable_nodejs_global_timers. */
class Timeout {
  readonly #begin: () => number;
  #id: number;
  #ref = true;

  constructor(begin: () => number) {
    this.#begin = begin;
    this.#id = begin();
  }

  ref(): this {
    this.#ref = true;
    return this;
  }

  unref(): this {
    this.#ref = false;
    return this;
  }

  hasRef(): boolean {
    return this.#ref;
  }

  refresh(): this {
    if (timers.has(this.#id)) {
      clear(this.#id);
      this.#id = this.#begin();
    }
    return this;
  }

  close(): this {
    clear(this.#id);
    return this;
  }

  [Symbol.toPrimitive](): number {
    return this.#id;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function handleOf(begin: () => number): number {
  if (ambient.config.compat.flags["enable_nodejs_global_timers"] !== true) return begin();
  return new Timeout(begin) as unknown as number;
}

function toDelay(delay: unknown): number {
  const ms = Math.trunc(Number(delay));
  if (!(ms > 0)) return 0;
  return Math.min(ms, maxDelay);
}

function arm(timer: Timer): void {
  timer.native = nativeSetTimeout(fire, timer.delay, timer);
}

function fire(timer: Timer): void {
  timer.native = null;
  timer.scope.owner.turns.macrotask(timer.scope, () => run(timer));
}

function run(timer: Timer): void {
  if (!timers.has(timer.id)) return; // Cleared while it waited for the gate.
  const { owner } = timer.scope;
  if (timer.repeat) arm(timer);
  else drop(timer);
  try {
    const { callback, args } = timer;
    callback(...args);
  } catch (e) {
    owner.uncaught(e);
  }
}

function drop(timer: Timer): void {
  const { owner } = timer.scope;
  timers.delete(timer.id);
  byOwner.get(owner)?.delete(timer);
  finished.set(owner, (finished.get(owner) ?? 0) + 1);
  owner.finish(timer.task);
}

function clear(id: unknown): void {
  if (typeof id === "object" && !(id instanceof Timeout)) {
    nativeClearTimeout(id as NodeJS.Timeout);
    return;
  }
  const timer = timers.get(Number(id));
  if (timer === undefined) return;
  if (timer.native !== null) nativeClearTimeout(timer.native);
  drop(timer);
}

/** The owner leaves memory. */
export function clearTimers(owner: Owner): void {
  for (const timer of byOwner.get(owner) ?? []) {
    if (timer.native !== null) nativeClearTimeout(timer.native);
    timers.delete(timer.id);
  }
  byOwner.delete(owner);
}

/*
 * Node's own fetch looks these globals up when it needs a timer. It runs outside
 * any scope (see `outside`), authors never do: so it gets Node's.
 */

type Native = (...args: unknown[]) => never;

export function setTimeout(callback: unknown, delay?: unknown, ...args: unknown[]): number {
  const scope = currentScope();
  if (scope === undefined) return (nativeSetTimeout as unknown as Native)(callback, delay, ...args);
  return handleOf(() => start(scope, "setTimeout", callback, delay, false, args));
}

export function setInterval(callback: unknown, delay?: unknown, ...args: unknown[]): number {
  const scope = currentScope();
  if (scope === undefined) return (nativeSetInterval as unknown as Native)(callback, delay, ...args);
  return handleOf(() => start(scope, "setInterval", callback, delay, true, args));
}

export function setImmediate(callback: unknown, ...args: unknown[]): number {
  const scope = currentScope();
  if (scope === undefined) return (nativeSetImmediate as unknown as Native)(callback, ...args);
  return handleOf(() => start(scope, "setImmediate", callback, 0, false, args));
}

export function clearTimeout(id?: unknown): void {
  clear(id);
}

export const clearInterval = clearTimeout;
export const clearImmediate = clearTimeout;

/** scheduler.wait */
export function wait(delay: number, options?: { signal?: AbortSignal }): Promise<void> {
  return new Promise((resolve, reject) => {
    const signal = options?.signal;
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const id = start(scopeNow(), "wait", resolve, delay, false, []);
    signal?.addEventListener("abort", () => {
      clear(id);
      reject(signal.reason);
    });
  });
}
