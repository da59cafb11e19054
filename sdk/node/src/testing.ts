/*
 * What tests of an author's own ask of a guest, where the server was started for
 * tests: to call what the Worker's `env` holds, to run a function in an object,
 * and to show a clock that is ahead. sdk/test has the other side.
 */

import v8 from "node:v8";
import vm from "node:vm";
import { ambient } from "./ambient.ts";
import type { Request } from "./http/request.ts";
import { Response } from "./http/response.ts";
import type { GuestObject } from "./object.ts";
import { Buffer } from "./storage/bytes.ts";
import type { Worker } from "./worker.ts";

/** Not a name that an export can have in a configuration. */
export const testEntrypoint = "dormouse:test";

/** Where a test's request is answered. */
export type Where = { readonly object: GuestObject } | { readonly worker: Worker };

type Ask =
  | { readonly do: "bindings" }
  | { readonly do: "call"; readonly path: string[]; readonly stub: { readonly id: string } | { readonly name: string } | null; readonly args: unknown[] | null }
  | { readonly do: "run"; readonly source: string; readonly args: unknown[] }
  | { readonly do: "alarm" };

/** Answers with the serialized result, or with what was thrown and status 422. */
export async function answerTest(request: Request, where: Where): Promise<Response> {
  if (!ambient.config.testing) throw new Error("This server was not started for tests.");
  try {
    const ask = deserialize(Buffer.from(await request.arrayBuffer())) as Ask;
    const result = await ("object" in where ? inObject(where.object, ask) : inWorker(where.worker, ask));
    return answer(200, result);
  } catch (error) {
    return answer(422, described(error));
  }
}

function answer(status: number, value: unknown): Response {
  return new Response(serialize(value) as Uint8Array<ArrayBuffer>, { status, headers: { "content-type": "application/octet-stream" } });
}

/** As V8 has it: v8.serialize writes typed arrays in a way of its own. */
function serialize(value: unknown): Buffer {
  const s = new v8.Serializer();
  s.writeHeader();
  s.writeValue(value);
  return s.releaseBuffer();
}

function deserialize(bytes: Buffer): unknown {
  const d = new v8.Deserializer(bytes);
  d.readHeader();
  return d.readValue();
}

function inWorker(worker: Worker, ask: Ask): unknown {
  switch (ask.do) {
    case "bindings": return bindings(worker.env);
    case "call": return call(worker.env, ask);
    case "run": return compiled(ask.source)(worker.env, ...ask.args);
    default: throw new Error(`a Worker cannot do ${JSON.stringify(ask.do)}`);
  }
}

function inObject(o: GuestObject, ask: Ask): unknown {
  switch (ask.do) {
    case "run": return compiled(ask.source)(o.instance, o.state, ...ask.args);
    case "alarm": return alarm(o);
    default: throw new Error(`an object cannot do ${JSON.stringify(ask.do)}`);
  }
}

/** Runs the object's alarm now, whatever its time, in place of later. Whether it has one. */
async function alarm(o: GuestObject): Promise<boolean> {
  const storage = o.state!.storage as { getAlarm(): Promise<number | null>; deleteAlarm(): Promise<void> };
  const scheduledTime = await storage.getAlarm();
  if (scheduledTime === null) return false;
  await storage.deleteAlarm();
  const instance = o.instance as { alarm?(info: object): unknown } | null;
  await instance?.alarm?.({ isRetry: false, retryCount: 0, scheduledTime });
  return true;
}

/** The names in `env`: of namespaces with what their ids are made from, of variables with their values. */
function bindings(env: object): { name: string; namespace: string | undefined; value: unknown }[] {
  const { namespaces, vars } = ambient.config.bindings;
  return Object.keys(env).map((name) => ({ name, namespace: namespaces.find((n) => n.name === name)?.namespace, value: vars[name] }));
}

interface Namespace {
  getByName(name: string): unknown;
  get(id: unknown): unknown;
  idFromString(id: string): unknown;
}

/** A call, or without arguments a property, of something in `env`; of a stub if one is meant. */
async function call(env: object, ask: Ask & { do: "call" }): Promise<unknown> {
  const [first, ...rest] = ask.path;
  let parent: unknown = env;
  let at: unknown = (env as Record<string, unknown>)[first!];
  if (ask.stub !== null) {
    const namespace = at as Namespace;
    at = "name" in ask.stub ? namespace.getByName(ask.stub.name) : namespace.get(namespace.idFromString(ask.stub.id));
  }
  for (const step of rest) {
    parent = at;
    at = (at as Record<string, unknown>)[step];
  }
  if (ask.args === null) return await at;
  if (typeof at !== "function") throw new TypeError(`${ask.path.join(".")} is not a function.`);
  return await (Reflect.apply(at, parent, ask.args) as unknown);
}

/** A function of the test's, from its source: it closes over nothing there. */
function compiled(source: string): (...args: unknown[]) => unknown {
  const script = new vm.Script(`(${source}\n)`, { filename: "test", importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER });
  const f: unknown = script.runInThisContext();
  if (typeof f !== "function") throw new TypeError("not a function");
  return f as (...args: unknown[]) => unknown;
}

/** What was thrown, in plain words: an error with its stack and what else it holds. */
function described(thrown: unknown): object {
  if (!(thrown instanceof Error)) return { thrown };
  const { name, message, stack } = thrown;
  const plain = Object.entries(thrown).filter(([, v]) => ["boolean", "string", "number"].includes(typeof v));
  return { name, message, stack, own: Object.fromEntries(plain) };
}

let ahead = 0;

/** Has `Date` follow a clock that can be set, in everything that is loaded from here on. */
export function installClock(): void {
  const machine = Date;
  const now = () => machine.now() + ahead;
  globalThis.Date = new Proxy(machine, {
    construct: (target, args: unknown[], newTarget) => Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget) as object,
    apply: () => new machine(now()).toString(),
    get: (target, key, receiver) => (key === "now" ? now : (Reflect.get(target, key, receiver) as unknown)),
  });
}

/** The clock is so many ms ahead of the machine's. */
export function setClock(ms: number): void {
  ahead = ms;
}
