/*
 * Worker is the author's module: its default export, its other entrypoints, and
 * the classes of its objects.
 */

import { ambient, scopeNow } from "./ambient.ts";
import { defines, extending } from "./classes.ts";
import type { Config } from "./config.ts";
import { logError } from "./console.ts";
import type { Env } from "./env.ts";
import { noFetch } from "./errors.ts";
import type { HostExchange } from "./exchange.ts";
import { fillExports } from "./exports.ts";
import type { Request } from "./http/request.ts";
import { DurableObject } from "./modules/workers.ts";
import type { Class } from "./object.ts";
import { Owner } from "./owner.ts";
import { deserialize } from "./storage/clone.ts";

export type Module = Record<string, unknown>;

/** Code outside any object: it has no storage, so nothing of it ever waits. */
export class WorkerOwner extends Owner {
  whenDurable(): null {
    return null;
  }

  output(say: () => void): boolean {
    say();
    return true;
  }

  get settled(): boolean {
    return true;
  }

  tellProgress(): void {}

  commitTurn(): void {}

  uncaught(error: unknown): void {
    logError(this, "Uncaught", error);
  }
}

type Handlers = Record<string, ((...args: unknown[]) => unknown) | undefined>;

export class Worker {
  readonly #module: Module;
  readonly #env: Env;
  readonly #names: string[];
  readonly #classes: Class[];
  /** What ctx.exports holds; undefined for old dates. */
  readonly exports: Module | undefined;

  /** Throws when a class that is bound is not exported. */
  constructor(module: Module, config: Config, env: Env, exports: Module) {
    this.#module = module;
    this.#env = env;
    this.exports = config.compat.flags["enable_ctx_exports"] === true ? exports : undefined;
    this.#names = config.classes.map((c) => c.name);
    this.#classes = this.#names.map((name) => classOf(module, name));
    fillExports(exports, module, this, config);
  }

  classAt(index: number): Class {
    return this.#classes[index]!;
  }

  get env(): Env {
    return this.#env;
  }

  describe(): { worker: { fetch: boolean }; classes: { name: string; rpc: boolean; alarm: boolean }[] } {
    const main = this.#module["default"];
    const fetch = typeof main === "function" ? defines(main, "fetch") !== false : typeof (main as Handlers | undefined)?.["fetch"] === "function";
    return {
      worker: { fetch },
      // What cannot be seen may be there: the instance will show.
      classes: this.#classes.map((c, i) => ({ name: this.#names[i]!, rpc: extending(c, DurableObject), alarm: defines(c, "alarm") !== false })),
    };
  }

  /** Runs the `fetch` of an entrypoint and answers. */
  fetch(x: HostExchange): void {
    void run(x, () => this.handle(x.entrypoint, x.props === null ? {} : deserialize(x.props), x.request));
  }

  /** An entrypoint, ready to be called: an instance of its class, or its object of handlers. */
  entrypoint(name: string, props: unknown): { entry: unknown; context: ExecutionContext } {
    const exported = this.#module[name === "" ? "default" : name];
    const context = new ExecutionContext(props, this.exports);
    const entry = typeof exported === "function" ? new (exported as new (ctx: unknown, env: unknown) => unknown)(context, this.#env) : exported;
    return { entry, context };
  }

  /** What the `fetch` of an entrypoint returns. */
  handle(entrypoint: string, props: unknown, request: Request): unknown {
    const { entry, context } = this.entrypoint(entrypoint, props);
    const handlers = entry as Handlers | undefined | null;
    if (typeof handlers?.["fetch"] !== "function") throw noFetch();
    return handlers["fetch"](request, this.#env, context);
  }
}

/** Calls a handler and answers the exchange with what comes of it. */
export function run(x: HostExchange, handler: () => unknown): Promise<void> {
  let result: unknown;
  try {
    result = handler();
  } catch (e) {
    x.fail(e);
    return Promise.resolve();
  }
  return Promise.resolve(result).then(
    (response) => x.respond(response),
    (error: unknown) => x.fail(error),
  );
}

/** Keeps the call of the Worker's that runs now until the promise has settled. */
export function waitInWorker(promise: unknown): void {
  const { invocation } = scopeNow();
  invocation?.hold();
  Promise.resolve(promise)
    .catch((e: unknown) => logError(ambient.worker, "Uncaught (in waitUntil)", e))
    .finally(() => invocation?.release());
}

/** `ctx` of the Worker's own handlers. */
export class ExecutionContext {
  readonly props: unknown;
  readonly exports: unknown;

  constructor(props: unknown, exports: unknown) {
    this.props = props;
    this.exports = exports;
  }

  waitUntil(promise: Promise<unknown>): void {
    waitInWorker(promise);
  }

  passThroughOnException(): void {}
}

function classOf(module: Module, name: string): Class {
  const exported = module[name];
  if (typeof exported === "function") return exported as Class;
  const names = Object.keys(module).filter((n) => typeof module[n] === "function" && n !== "default");
  const there = names.length === 0 ? "it exports no class" : `it exports ${names.join(", ")}`;
  throw new Error(`The class ${name} is bound but the Worker's main module does not export it: ${there}. Export it, or change class_name.`);
}
