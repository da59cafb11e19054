/*
 * Stubs as authors see them: RpcStub, RpcPromise, RpcProperty. Each is a Proxy
 * around a function, for it can be called, and any property of it is a question
 * to the other side.
 */

import { types } from "node:util";
import { ambient, scopeNow } from "../ambient.ts";
import { innerClass, platformClass } from "../platform.ts";
import { askFetcher, fetcherOf, makeServiceStub, routeOf } from "../namespace.ts";
import { cloneError } from "../storage/clone.ts";
import { badConstructorParameter } from "../errors.ts";
import { type Cap, discard, disposedPromiseText, disposedText, failed, type Hook, type Payload, type Pending } from "./hook.ts";
import { decode, encode, lockedText, type Passing } from "./payload.ts";
import { targetHook } from "./target.ts";

/** A class whose instances are passed by reference. */
export class RpcTarget {}

/** Everything by which the other side is asked, by its Proxy. */
const faces = new WeakMap<object, Face>();

/** Stubs that were forgotten without being disposed. */
const forgotten = new FinalizationRegistry<Hook>((hook) => hook.dispose());
const dropped = new FinalizationRegistry<Pending>((pending) => pending.drop());

export type Ask = (path: readonly string[], args: Payload | null) => Pending;

/** What a Proxy stands for: whom it asks, and where there. */
interface Face {
  readonly kind: "stub" | "promise" | "property";
  ask(path: readonly string[], args: Payload | null): Pending;
  /** The reference itself; null for what is none. Throws when it is disposed. */
  hook(): Hook | null;
}

/** Calls with the author's arguments. What is wrong with them is the answer. */
function call(face: Face, args: unknown[]): Pending {
  let payload;
  try {
    payload = encode(args, ambient.config.compat.flags["rpc_params_dup_stubs"] === true ? "dup" : "transfer");
  } catch (e) {
    return failed(e);
  }
  return face.ask([], payload);
}

/** The answer to a question to something that has been disposed. */
function refused(text: string, args: Payload | null): Pending {
  if (args !== null) discard(args, text);
  return failed(new Error(text));
}

class StubFace implements Face {
  readonly kind = "stub";
  #hook: Hook | null;
  readonly #token = {};

  constructor(hook: Hook) {
    this.#hook = hook;
  }

  watch(proxy: object): void {
    forgotten.register(proxy, this.#hook!, this.#token);
  }

  ask(path: readonly string[], args: Payload | null): Pending {
    return this.#hook === null ? refused(disposedText, args) : this.#hook.ask(path, args);
  }

  hook(): Hook {
    if (this.#hook === null) throw new Error(disposedText);
    return this.#hook;
  }

  /** The reference goes elsewhere, or ends. */
  take(): Hook | null {
    const hook = this.#hook;
    this.#hook = null;
    forgotten.unregister(this.#token);
    return hook;
  }
}

class PromiseFace implements Face {
  readonly kind = "promise";
  readonly pending: Pending;
  #disposed = false;

  constructor(pending: Pending) {
    this.pending = pending;
  }

  ask(path: readonly string[], args: Payload | null): Pending {
    return this.#disposed ? refused(disposedPromiseText, args) : this.pending.pipe.ask(path, args);
  }

  hook(): null {
    return null;
  }

  /** Whoever awaits it already gets the answer. */
  dispose(): void {
    this.#disposed = true;
    this.pending.drop();
  }
}

class PropertyFace implements Face {
  readonly kind = "property";
  readonly #of: Ask;
  readonly #name: string;

  constructor(of: Ask, name: string) {
    this.#of = of;
    this.#name = name;
  }

  ask(path: readonly string[], args: Payload | null): Pending {
    return this.#of([this.#name, ...path], args);
  }

  hook(): null {
    return null;
  }
}

// ---- The classes. Their methods find the face by `this`, which is the Proxy.

function faceOf(x: unknown): Face | undefined {
  return (typeof x === "function" || typeof x === "object") && x !== null ? faces.get(x) : undefined;
}

class JsRpcStub {
  constructor(target: object) {
    if (typeof target !== "function" && (typeof target !== "object" || target === null)) throw badConstructorParameter("JsRpcStub", 1, "Object");
    const face = faceOf(target);
    return stubOf(face?.kind === "stub" ? face.hook()!.dup() : targetHook(target, scopeNow())) as JsRpcStub;
  }

  dup(): object {
    const face = faceOf(this);
    return stubOf(face!.hook()!.dup());
  }

  get [Symbol.toStringTag](): string {
    return "JsRpcStub";
  }

  [Symbol.dispose](): void {
    (faceOf(this) as StubFace | undefined)?.take()?.dispose();
  }
}

class JsRpcPromise {
  then(onValue?: (v: unknown) => unknown, onError?: (e: unknown) => unknown): Promise<unknown> {
    return valueAt(this).then(onValue, onError);
  }

  catch(onError?: (e: unknown) => unknown): Promise<unknown> {
    return valueAt(this).catch(onError);
  }

  finally(f?: () => void): Promise<unknown> {
    return valueAt(this).finally(f);
  }

  get [Symbol.toStringTag](): string {
    return "JsRpcPromise";
  }

  [Symbol.dispose](): void {
    (faceOf(this) as PromiseFace | undefined)?.dispose();
  }
}

class JsRpcProperty {
  then(onValue?: (v: unknown) => unknown, onError?: (e: unknown) => unknown): Promise<unknown> {
    return valueAt(this).then(onValue, onError);
  }

  catch(onError?: (e: unknown) => unknown): Promise<unknown> {
    return valueAt(this).catch(onError);
  }

  finally(f?: () => void): Promise<unknown> {
    return valueAt(this).finally(f);
  }

  get [Symbol.toStringTag](): string {
    return "JsRpcProperty";
  }
}

function valueAt(x: object): Promise<unknown> {
  const face = faceOf(x);
  if (face === undefined) return Promise.reject(new TypeError("Illegal invocation"));
  return (face.kind === "promise" ? (face as PromiseFace).pending : face.ask([], null)).value();
}

innerClass(JsRpcPromise);
innerClass(JsRpcProperty);
/** As `cloudflare:workers` exports them: under names without the prefix. */
export const RpcStub = renamed(platformClass(JsRpcStub), "RpcStub");
export const RpcPromise = renamed(JsRpcPromise.prototype.constructor, "RpcPromise");
export const RpcProperty = renamed(JsRpcProperty.prototype.constructor, "RpcProperty");

function renamed<C extends object>(c: C, name: string): C {
  Object.defineProperty(c, "name", { value: name, configurable: true });
  return c;
}

// ---- Proxies

function stubOf(hook: Hook): object {
  const face = new StubFace(hook);
  const stub = proxy(face, JsRpcStub.prototype);
  face.watch(stub);
  return stub;
}

/** The answer to a call, to be awaited or asked further. */
export function promiseOf(pending: Pending): object {
  const promise = proxy(new PromiseFace(pending), JsRpcPromise.prototype);
  dropped.register(promise, pending);
  return promise;
}

/** A property of whatever `ask` asks. */
export function propertyOf(ask: Ask, name: string): object {
  return proxy(new PropertyFace(ask, name), JsRpcProperty.prototype);
}

function proxy(face: Face, prototype: object): object {
  const made: object = new Proxy(bare(prototype), new Asking(face, prototype));
  faces.set(made, face);
  return made;
}

/** A function without properties of its own. */
function bare(prototype: object): object {
  const f = () => {};
  delete (f as { name?: unknown }).name;
  delete (f as { length?: unknown }).length;
  return Object.setPrototypeOf(f, prototype) as object;
}

class Asking implements ProxyHandler<object> {
  readonly #face: Face;
  readonly #prototype: object;

  constructor(face: Face, prototype: object) {
    this.#face = face;
    this.#prototype = prototype;
  }

  apply(_target: object, _this: unknown, args: unknown[]): object {
    return promiseOf(call(this.#face, args));
  }

  get(target: object, key: string | symbol, receiver: unknown): unknown {
    if (typeof key === "symbol" || Object.hasOwn(target, key) || key in this.#prototype) return Reflect.get(target, key, receiver);
    if (isWildcard(key)) return propertyOf((path, args) => this.#face.ask(path, args), key);
    return undefined;
  }

  has(target: object, key: string | symbol): boolean {
    return typeof key === "symbol" ? Reflect.has(target, key) : isWildcard(key) || Reflect.has(target, key);
  }
}

/** Names that are questions: a stub may be awaited, and its elements are its own business. */
export function isWildcard(key: string): boolean {
  return key !== "then" && !/^(0|[1-9]\d*)$/.test(key);
}

// ---- Between values and references

/** What of a value is passed by reference; null for what is copied. `given` gets stubs that end with the answer they are in. */
export function capOf(value: object, passing: Passing, given: object[]): Cap | null {
  const face = faces.get(value);
  if (face !== undefined) {
    if (face.kind !== "stub") throw refusal(value);
    const hook = face.hook()!;
    if (passing === "result") given.push(value);
    return { kind: "hook", hook: passing === "transfer" ? (face as StubFace).take()! : hook.dup() };
  }
  const fetcher = fetcherOf(value);
  if (fetcher !== undefined) return { kind: "fetcher", route: routeOf(fetcher) };
  if (loopbacks.has(value)) throw refusal(value);
  if (typeof value === "function" || value instanceof RpcTarget || types.isProxy(value)) return { kind: "hook", hook: targetHook(value, scopeNow()) };
  if (value instanceof ReadableStream) {
    if (value.locked) throw new TypeError(lockedText);
    return { kind: "readable", stream: value };
  }
  if (value instanceof WritableStream) {
    if (value.locked) throw new TypeError("The WritableStream has been locked to a writer.");
    return { kind: "writable", stream: value };
  }
  if (value instanceof AbortSignal) throw cloneError("AbortSignal serialization is not enabled.");
  return null;
}

/** What the other side gets for it. */
export function valueOf(cap: Cap): object {
  switch (cap.kind) {
    case "hook":
      return stubOf(cap.hook);
    case "fetcher":
      return makeServiceStub(cap.route);
    case "readable":
    case "writable":
      return cap.stream;
  }
}

/** A stub that was made for a call ends with it. */
export function disposeStub(stub: object): void {
  const face = faces.get(stub);
  if (face?.kind === "stub") (face as StubFace).take()?.dispose();
}

/** What stands behind a stub of any kind, a promise or a property, to be asked; undefined for other values. */
export function askable(value: unknown): Ask | undefined {
  const face = faceOf(value);
  if (face !== undefined) return (path, args) => face.ask(path, args);
  const fetcher = fetcherOf(value);
  return fetcher === undefined ? undefined : (path, args) => askFetcher(fetcher, path, args);
}

/** The answer to a call, with a disposer for the stubs in it. */
export function decodeAnswer(payload: Payload): unknown {
  const stubs: object[] = [];
  const value = decode(payload, (stub) => stubs.push(stub));
  if (typeof value !== "object" || value === null || faces.has(value) || fetcherOf(value) !== undefined) return value;
  Object.defineProperty(value, Symbol.dispose, {
    value: () => {
      for (const stub of stubs) disposeStub(stub);
    },
    enumerable: false,
    writable: true,
    configurable: true,
  });
  return value;
}

const loopbacks = new WeakMap<object, string>();

/** What stands in `ctx.exports` can be called, but is no function of the author's. */
export function markLoopback(stub: object, type: string): void {
  loopbacks.set(stub, type);
}

export function refusal(value: object): DOMException {
  return cloneError(`Could not serialize object of type "${classOf(value)}". This type does not support serialization.`);
}

function classOf(value: object): string {
  const face = faces.get(value);
  if (face !== undefined) return face.kind === "promise" ? "RpcPromise" : "RpcProperty";
  const loopback = loopbacks.get(value);
  if (loopback !== undefined) return loopback;
  try {
    const { constructor } = value as { constructor?: { name?: unknown } };
    if (typeof constructor === "function" && typeof constructor.name === "string" && constructor.name !== "") return constructor.name;
  } catch {
    // A getter of the author's.
  }
  return "Object";
}
