/*
 * Isolate puts the wall between author code and this process, and loads the
 * author's module behind it. A wall against mistakes and against code that
 * looks around; not a sandbox for code that is out to break it.
 */

import { realpathSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { ambient } from "../ambient.ts";
import type { Config } from "../config.ts";
import { makeConsole } from "../console.ts";
import { guardEgress } from "../egress.ts";
import type { Env } from "../env.ts";
import { installGlobals } from "../globals.ts";
import { durableObjectsModule } from "../modules/durableobjects.ts";
import { emailModule } from "../modules/email.ts";
import { unsafeModule } from "../modules/unsafe.ts";
import { workersModule } from "../modules/workers.ts";
import { workflowsModule } from "../modules/workflows.ts";
import { installLoader } from "./loader.ts";
import { registerNodeModules } from "./nodemodules.ts";
import { enterScope } from "../scope.ts";
import { makeProcess } from "./process.ts";
import { type Exports, register } from "./registry.ts";
import { allowFunction } from "./startup.ts";
import { socketsModule } from "../tcp.ts";

export async function loadAuthor(config: Config, env: Env, exports: Exports, events: (e: EventTarget) => void): Promise<Exports> {
  const bundle = path.dirname(config.entry);
  const process = makeProcess(populated(config));
  const console = makeConsole();
  events(installGlobals(config, { console, process }));
  register("cloudflare:workers", () => workersModule(env, exports));
  register("cloudflare:email", emailModule);
  register("cloudflare:durable-objects", durableObjectsModule);
  register("cloudflare:sockets", socketsModule);
  register("cloudflare:workflows", workflowsModule);
  if (config.compat.flags["unsafe_module"] === true) register("workerd:unsafe", unsafeModule);
  installLoader(bundle, registerNodeModules(process, console, bundle, config.compat.flags));
  guardEgress(config.egress); // not before the handles are disarmed, which takes a connection
  // What the module does while it is loaded belongs to the Worker.
  enterScope(ambient.worker.scope);
  const end = allowFunction();
  try {
    return (await import(pathToFileURL(realpathSync(config.entry)).href)) as Exports;
  } finally {
    end();
  }
}

/** process.env holds the variables only if the author asked for it. */
function populated(config: Config): Record<string, string> {
  const env: Record<string, string> = {};
  if (config.compat.flags["nodejs_compat_populate_process_env"] !== true) return env;
  for (const [name, value] of Object.entries(config.bindings.vars)) env[name] = typeof value === "string" ? value : JSON.stringify(value);
  return env;
}
