/*
 * Namespaces and stubs: how code reaches other objects. A stub is a Proxy whose
 * unknown properties are remote methods; rpc/ makes the calls.
 */

import { ambient, scopeNow } from "./ambient.ts";
import { fetchDirect, fitsDirect } from "./direct.ts";
import { badParameter } from "./errors.ts";
import { isRequest, Request, type RequestInit } from "./http/request.ts";
import type { Response } from "./http/response.ts";
import { type DurableObjectId, idText, IdMaker, isId, makeId } from "./ids.ts";
import { followed } from "./followed.ts";
import { fetchLoopback } from "./loopback.ts";
import { innerClass } from "./platform.ts";
import { discard, failed, type Payload, type Pending } from "./rpc/hook.ts";
import { isWildcard, propertyOf } from "./rpc/stub.ts";

export interface StubOptions {
  locationHint?: string;
  routingMode?: string;
  retry?: { timeoutMs?: number; maxRetries?: number };
}

const zeros = "0".repeat(64);

export class DurableObjectNamespace {
  readonly #index: number;
  readonly #ids: IdMaker;

  constructor(index: number, namespace: string) {
    this.#index = index;
    this.#ids = new IdMaker(namespace);
  }

  get [Symbol.toStringTag](): string {
    return "DurableObjectNamespace";
  }

  newUniqueId(options?: { jurisdiction?: string | null }): DurableObjectId {
    const jurisdiction = options?.jurisdiction;
    if (jurisdiction !== undefined && jurisdiction !== null) noJurisdictions();
    return makeId(this.#ids.unique(), undefined);
  }

  idFromName(name: string): DurableObjectId {
    if (arguments.length === 0) throw badParameter("idFromName", "DurableObjectNamespace", 1, "string");
    const text = `${name}`;
    return makeId(this.#ids.fromName(text), text);
  }

  idFromString(id: string): DurableObjectId {
    if (arguments.length === 0) throw badParameter("idFromString", "DurableObjectNamespace", 1, "string");
    return makeId(this.#ids.fromString(`${id}`), undefined);
  }

  get(id: DurableObjectId, options?: StubOptions): DurableObjectStub {
    if (!isId(id)) throw badParameter("get", "DurableObjectNamespace", 1, "DurableObjectId");
    checkOptions(options);
    return makeStub(this.#index, id);
  }

  getByName(name: string, options?: StubOptions): DurableObjectStub {
    if (arguments.length === 0) throw badParameter("getByName", "DurableObjectNamespace", 1, "string");
    return this.get(this.idFromName(name), options);
  }

  jurisdiction(name?: string | null): DurableObjectNamespace {
    if (name !== undefined && name !== null) noJurisdictions();
    return this;
  }
}

function noJurisdictions(): never {
  throw new Error("Jurisdiction restrictions are not implemented in workerd.");
}

function checkOptions(options: StubOptions | undefined): void {
  if (options === undefined || options === null) return;
  const { routingMode, retry } = options;
  if (routingMode !== undefined && routingMode !== "primary-only") throw new RangeError(`unknown routingMode: ${routingMode}`);
  if (retry === undefined || retry === null) return;
  const { timeoutMs, maxRetries } = retry;
  if (timeoutMs !== undefined && !(Number.isInteger(timeoutMs) && timeoutMs >= 500 && timeoutMs <= 60_000)) {
    throw new RangeError("retry.timeoutMs must be an integer between 500 and 60000");
  }
  if (maxRetries !== undefined && !(Number.isInteger(maxRetries) && maxRetries >= 0 && maxRetries <= 10)) {
    throw new RangeError("retry.maxRetries must be an integer between 0 and 10");
  }
}

const target = Symbol("target");

/** Why all objects were reset, each time that this was asked for here: stubs used before are broken. */
const resets: Error[] = [];

export function allReset(why: Error): void {
  resets.push(why);
}

/** The target of an entrypoint of this Worker. */
const self = 4;

/** Where the calls of a Fetcher go. */
export interface Route {
  /** An object, the assets, another service, the hooks for tests, or an entrypoint of this Worker. */
  readonly target: 0 | 1 | 2 | 3 | 4;
  readonly index: number;
  readonly id: string;
  readonly name: string | null;
  readonly entrypoint: string;
  /** Serialised; null: none. */
  readonly props: Uint8Array | null;
}

export let routeOf: (f: Fetcher) => Route;
/** A call of a method, or the reading of a property, of what the Fetcher leads to. */
export let askFetcher: (f: Fetcher, path: readonly string[], args: Payload | null) => Pending;

/** Something that can be asked: an object, the assets, another service. */
export class Fetcher {
  readonly #route: Route;
  // The instance that answered last time has been reset: this stub is broken for good.
  #broken: Error | null = null;
  // How often all objects had been reset when this stub was first used.
  #resets = -1;
  // What was asked by way of the host and has not been answered: what comes later must not pass it.
  #byHost = 0;

  static {
    routeOf = (f) => f.#route;
    askFetcher = (f, path, args) => {
      const broken = f.#whyBroken();
      if (broken !== null) {
        if (args !== null) discard(args, broken.message);
        return failed(broken);
      }
      const scope = scopeNow();
      const heard = (error: Error) => f.#heard(error);
      const o = f.#route.target === 0 && f.#byHost === 0 ? ambient.residents.reach(scope, f.#route.index, f.#route.id) : null;
      if (o !== null) return ambient.rpc.askDirect(scope, o, path, args, heard);
      f.#byHost++;
      return ambient.rpc.ask(scope, f.#route, path, args, heard, () => f.#byHost--);
    };
  }

  constructor(route: Route) {
    this.#route = route;
  }

  /** Where the calls of a stub of an object go; null for anything else. */
  static routeOf(fetcher: Fetcher): Route | null {
    const route = fetcher[target].#route;
    return route.target === 0 ? route : null;
  }

  /** The stub itself, behind the Proxy around it. */
  get [target](): this {
    return this;
  }

  fetch(input: string | URL | Request, init?: RequestInit | Request): Promise<Response> {
    const broken = this.#whyBroken();
    if (broken !== null) return Promise.reject(broken);
    if (arguments.length === 0) return Promise.reject(badParameter("fetch", "Fetcher", 1, "Request or string"));
    let request: Request;
    try {
      request = isRequest(input) && init === undefined ? input : new Request(absolute(input), init);
      return followed(request, (r) => this.#ask(r));
    } catch (e) {
      return Promise.reject(e);
    }
  }

  #ask(request: Request): Promise<Response> {
    const { target: kind, ...to } = this.#route;
    if (kind === self) return fetchLoopback(to.entrypoint, to.props, request);
    const scope = scopeNow();
    const heard = (error: Error) => this.#heard(error);
    const o = kind === 0 && this.#byHost === 0 && fitsDirect(request) ? ambient.residents.reach(scope, to.index, to.id) : null;
    if (o !== null) return fetchDirect(scope, o, request, heard);
    this.#byHost++;
    return ambient.exchanges.ask(scope, { ...to, target: kind }, request, heard, () => this.#byHost--);
  }

  #whyBroken(): Error | null {
    if (this.#route.target === 0 && this.#resets !== resets.length) {
      if (this.#resets >= 0) this.#broken ??= resets[this.#resets]!;
      this.#resets = resets.length;
    }
    return this.#broken;
  }

  #heard(error: Error): void {
    if (this.#route.target === 0 && (error as { durableObjectReset?: boolean }).durableObjectReset === true) this.#broken = error;
  }

  get [Symbol.toStringTag](): string {
    return "Fetcher";
  }

  connect(_address?: unknown): never {
    if (arguments.length === 0) throw badParameter("connect", "Fetcher", 1, "SocketAddress or string");
    throw new Error("connect() is not supported.");
  }
}

innerClass(Fetcher);
/** As `cloudflare:workers` exports it. */
export const ServiceStub = Fetcher.prototype.constructor;
Object.defineProperty(ServiceStub, "name", { value: "ServiceStub", configurable: true });

export class DurableObjectStub extends Fetcher {
  declare readonly id: DurableObjectId;
  declare readonly name: string | undefined;

  override get [Symbol.toStringTag](): string {
    return "DurableObject";
  }
}

/** Once a stub took what has no host. */
function absolute<T>(input: T): T | string {
  if (typeof input !== "string" || ambient.config.compat.flags["durable_object_fetch_requires_full_url"] === true) return input;
  return new URL(input, "https://fake-host").href;
}

/** The stub of one object. */
function makeStub(index: number, id: DurableObjectId): DurableObjectStub {
  const stub = new DurableObjectStub({ target: 0, index, id: idText(id), name: id.name ?? null, entrypoint: "", props: null });
  Object.defineProperty(stub, "name", { value: id.name, enumerable: true, configurable: true });
  Object.defineProperty(stub, "id", { value: id, enumerable: true, configurable: true });
  return withMethods(stub);
}

/** The stub of assets (1) or of a service (2). */
export function makeFetcher(target: 1 | 2, index: number, entrypoint = ""): Fetcher {
  return withMethods(new Fetcher({ target, index, id: zeros, name: null, entrypoint, props: null }));
}

/** A stub as it arrives over RPC: without what identifies an object. */
export function makeServiceStub(route: Route): Fetcher {
  return withMethods(new Fetcher(route));
}

/** The stub of an entrypoint of this Worker. */
export function makeLoopback(entrypoint: string, props: Uint8Array | null): Fetcher {
  return makeServiceStub({ target: self, index: 0, id: zeros, name: null, entrypoint, props });
}

const fetchers = new WeakMap<object, Fetcher>();

/** The Fetcher that a stub stands for; undefined for other values. */
export function fetcherOf(value: unknown): Fetcher | undefined {
  return typeof value === "object" && value !== null ? fetchers.get(value) : undefined;
}

/** Unknown properties are remote methods, but for `then`: a stub may be awaited. */
function withMethods<T extends Fetcher>(stub: T): T {
  const made = new Proxy<T>(stub, ambient.config.compat.flags["rpc"] === true ? new Remote(stub) : new Plain(stub)) as T;
  fetchers.set(made, stub);
  return made;
}

/** The stub's own members. */
class Plain implements ProxyHandler<Fetcher> {
  // Each is made for the first that asks: most stubs are made for one call.
  #fetch: Method | undefined;
  #connect: Method | undefined;
  protected readonly stub: Fetcher;

  constructor(stub: Fetcher) {
    this.stub = stub;
  }

  get(target: Fetcher, key: string | symbol): unknown {
    const value: unknown = Reflect.get(target, key, target);
    if (typeof key === "symbol" || typeof value !== "function" || (key !== "fetch" && key !== "connect")) return value;
    // Private fields need the real `this`.
    if (key === "fetch") return (this.#fetch ??= onStub(value as Method, target));
    return (this.#connect ??= onStub(value as Method, target));
  }
}

type Method = (...args: unknown[]) => unknown;

/** A closure: `bind` is slow for a method whose name was defined, as those of platform.ts are. */
function onStub(method: Method, stub: Fetcher): Method {
  return (...args) => method.apply(stub, args);
}

class Remote extends Plain {
  override get(target: Fetcher, key: string | symbol): unknown {
    if (typeof key === "symbol" || key in target || !isWildcard(key)) return super.get(target, key);
    return propertyOf((path, args) => askFetcher(this.stub, path, args), key);
  }

  has(target: Fetcher, key: string | symbol): boolean {
    return typeof key === "symbol" ? Reflect.has(target, key) : isWildcard(key) || Reflect.has(target, key);
  }
}
