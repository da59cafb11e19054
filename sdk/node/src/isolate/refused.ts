/*
 * What of Node's modules a Worker can import and not use. A name that is
 * missing would keep a library from loading that merely mentions it; so each
 * name that Node has is there, and functions say so when they are called.
 */

import type { Exports } from "./registry.ts";

/** The module with `own` in it, and everything else that Node's has, to no use. */
export function refuseRest(own: Exports, m: Exports, module: string): Exports {
  const all: Exports = {};
  for (const name of Object.keys(m)) if (name !== "default") all[name] = Object.hasOwn(own, name) ? own[name] : useless(m[name], module, name);
  return { ...all, ...own };
}

export function refusal(module: string, name: string): () => never {
  return function () {
    throw new Error(`${name} of ${module} cannot be used in a Worker.`);
  };
}

/** Numbers, texts and the like are as they are. Of objects there is one level: what lies deeper is Node's own. */
function useless(value: unknown, module: string, name: string): unknown {
  if (typeof value === "function") return refusal(module, name);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return [];
  const shell: Exports = {};
  for (const [key, inner] of Object.entries(value)) {
    if (typeof inner === "function") shell[key] = refusal(module, `${name}.${key}`);
    else if (typeof inner !== "object") shell[key] = inner;
  }
  return shell;
}

/** What is not refused in modules that are of no use otherwise: as if there were one process with one thread, which is workerd's answer too. */
export const harmless: Record<string, Exports> = {
  worker_threads: {
    isMainThread: true,
    parentPort: null,
    workerData: null,
    threadId: 0,
    resourceLimits: {},
    markAsUncloneable: () => {},
    markAsUntransferable: () => {},
    isMarkedAsUntransferable: () => false,
    MessageChannel: globalThis.MessageChannel,
    MessagePort: globalThis.MessagePort,
  },
  cluster: { isPrimary: true, isMaster: true, isWorker: false, workers: {}, settings: {} },
};

/** Hooks that hear nothing: what they would be shown are the runtime's own objects. */
export function asyncHooks(): Exports {
  return {
    createHook: () => {
      const hook = { enable: () => hook, disable: () => hook };
      return hook;
    },
    executionAsyncId: () => 0,
    triggerAsyncId: () => 0,
    executionAsyncResource: () => ({}),
  };
}
