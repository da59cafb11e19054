// What callers see of RPC: names, values, errors.

import * as workers from "cloudflare:workers";
import { wrong } from "../probe";
import { outcome, settled, show } from "../show";
import { Counter, MyError } from "../remote";
import type { Front } from "./front";

// As libraries of databases return them.
class Rows extends Array {}
class Table extends Map<unknown, unknown> {}

const { exports, RpcPromise, RpcProperty, RpcStub, RpcTarget, ServiceStub } = wrong(workers);

const kindsOfErrors = [
	"Error", "TypeError", "EvalError", "URIError", "own properties", "custom class", "renamed", "cause", "plain cause", "aggregate", "DOMException",
	"string", "number", "null", "undefined", "object", "uncloneable property", "function property", "retryable", "empty", "symbol", "bigint", "a function", "point",
];

/** An error with everything that it carries, but for its stack. */
function anatomy(e: any): string {
	if (typeof e !== "object" || e === null) return `threw ${show(e)}`;
	if (!(e instanceof Error) && !(e instanceof DOMException)) return `threw ${show(e)}, class ${e.constructor?.name}`;
	const own = Object.getOwnPropertyNames(e).filter((k) => !["stack", "message"].includes(k) && !(e instanceof DOMException && ["name", "code"].includes(k))).sort();
	const id = (k: string, v: unknown) => (k === "durableObjectId" ? `${String(v).length} characters` : show(v));
	return `${e.constructor.name}(${e.name}: ${e.message}) ${own.map((k) => `${k}=${id(k, wrong(e)[k])}`).join(" ")}${Object.keys(e).includes("cause") ? " with an enumerable cause" : ""}`;
}

async function caught(f: () => unknown): Promise<string> {
	try {
		return `returned ${show(await f())}`;
	} catch (e) {
		return anatomy(e);
	}
}

export const rpc: Record<string, (t: Front) => unknown> = {
	/** Which members of the class can be reached. */
	async "rpc-names"({ env, args, say }) {
		const o = async (label: string, f: () => unknown) => say(`${label}: ${await settled(f)}`);
		const stub = wrong(env.Remote.getByName(args[0]));
		await o("a method", () => stub.echo("x"));
		await o("without arguments", () => stub.echo());
		await o("more arguments", () => stub.show(1, "two", [3], undefined));
		await o("of the base class", () => stub.inherited());
		await o("an own property", () => stub.own);
		await o("an own method", () => stub.ownMethod());
		await o("a static", () => stub.aStatic());
		await o("a getter", () => stub.aGetter);
		await o("a getter, called", () => stub.aGetter());
		await o("a getter that throws", () => stub.aThrowingGetter);
		await o("a getter of a function", () => stub.aFunction(21));
		await o("a getter of a promise", () => stub.aPromise);
		await o("a setter alone", () => stub.aSetter);
		await o("a setter, called", () => stub.aSetter(1));
		await o("a property of a getter's object", () => stub.anObject.a.b[1].c);
		await o("an element", () => stub.anObject.a.b[0]);
		await o("the length of an array", () => stub.anObject.a.b.length);
		await o("a method of an array", () => stub.anObject.a.b.join());
		await o("a function of a getter's object", () => stub.anObject.f(1));
		await o("a target of a getter's object", () => stub.anObject.counter.add(2));
		await o("an own property of a target", () => stub.anObject.counter.own);
		await o("a missing property", () => stub.missing);
		await o("a missing method", () => stub.missing());
		await o("a missing property of a missing one", () => stub.missing.deeper);
		await o("a method of a missing one", () => stub.missing.deeper());
		await o("a missing property of an object", () => stub.anObject.missing);
		await o("a missing method of an object", () => stub.anObject.missing());
		await o("an inherited property of an object", () => stub.anObject.toString());
		await o("a property of a string", () => stub.aGetter.length);
		await o("a method of a string", () => stub.aGetter.toUpperCase());
		await o("a method as a property", async () => typeof (await stub.echo));
		await o("a method as a property, then called", async () => (await stub.echo)("later"));
		await o("a property of a method", () => stub.echo.name);
		await o("bind of a method", () => stub.echo.bind(null)("x"));
		await o("call of a method", () => stub.echo.call(null, "x"));
		await o("apply of a method", () => stub.echo.apply(null, ["x"]));
		for (const name of ["fetch", "connect", "alarm", "webSocketMessage", "webSocketClose", "webSocketError", "dup", "constructor", "toString", "hasOwnProperty", "valueOf", "toJSON", "__proto__", "prototype", "ctx", "env", "then", "catch", "finally", "tail", "trace", "scheduled", "queue", "email", "test", "tailStream", "isPrototypeOf", "toLocaleString", "onRpcBroken", "id", "name", "getRpcMethodForTestOnly"]) {
			await o(`.${name}()`, () => stub[name]());
		}
		await o("a symbol", () => stub[Symbol.iterator]);
		await o("the empty name", () => stub[""]());
		await o("a number", () => stub[5]());
		await o("a name with spaces", () => stub["a b"]());
	},

	/** What stubs are to JavaScript. */
	async "rpc-looks"({ env, args, say }) {
		const o = (label: string, f: () => unknown) => say(`${label}: ${outcome(f)}`);
		const stub = wrong(env.Remote.getByName(args[0]));
		const toString = (x: unknown) => Object.prototype.toString.call(x);
		const look = (label: string, x: any) => {
			o(label, () => `${typeof x} ${toString(x)}`);
			o(`${label}, class`, () => x.constructor?.name);
			o(`${label}, keys`, () => Object.keys(x));
			o(`${label}, then`, () => typeof x.then);
			o(`${label}, catch and finally`, () => `${typeof x.catch} ${typeof x.finally}`);
			o(`${label}, dup`, () => typeof x.dup);
			o(`${label}, Symbol.dispose`, () => typeof x[Symbol.dispose]);
			o(`${label}, Symbol.asyncDispose`, () => typeof x[Symbol.asyncDispose]);
			o(`${label}, onRpcBroken`, () => typeof x.onRpcBroken);
			o(`${label}, another property`, () => typeof x.another);
			o(`${label} instanceof`, () => [RpcStub, RpcPromise, RpcProperty, ServiceStub, RpcTarget, Function, Promise].filter((c: any) => x instanceof c).map((c: any) => c.name));
			o(`${label}, in`, () => ["anything", "then", "dup", "constructor"].filter((k) => k in x));
		};
		look("a stub", stub);
		const property = stub.aGetter;
		look("a property", property);
		const promise = stub.make("counter");
		look("a promise", promise);
		const counter = await promise;
		look("a target's stub", counter);
		const f = await stub.make("function");
		look("a function's stub", f);
		o("assigning", () => {
			stub.x = 1;
			return typeof stub.x;
		});
		o("assigning to a target's stub", () => {
			counter.x = 1;
			return typeof counter.x;
		});
		o("deleting", () => delete stub.id);
		o("JSON", () => JSON.stringify({ stub: counter }));
		o("String()", () => String(counter));
		o("the same property twice", () => counter.add === counter.add);
		o("RpcStub()", () => RpcStub(counter));
		o("new RpcStub()", () => new RpcStub());
		o("new RpcStub(5)", () => new RpcStub(5));
		o("new RpcStub({})", () => toString(new RpcStub({})));
		o("new RpcStub(function)", () => toString(new RpcStub(() => 1)));
		o("new RpcStub(target)", () => toString(new RpcStub(new Counter("x"))));
		o("new RpcPromise()", () => new RpcPromise());
		o("new RpcProperty()", () => new RpcProperty());
		o("new ServiceStub()", () => new ServiceStub());
		o("the names of the classes", () => [RpcStub, RpcPromise, RpcProperty, ServiceStub, RpcTarget].map((c: any) => c.name));
		o("members of RpcStub", () => Object.getOwnPropertyNames(RpcStub.prototype).sort());
		o("members of RpcPromise", () => Object.getOwnPropertyNames(RpcPromise.prototype).sort());
		o("members of RpcProperty", () => Object.getOwnPropertyNames(RpcProperty.prototype).sort());
		o("members of ServiceStub", () => Object.getOwnPropertyNames(ServiceStub.prototype).sort());
	},

	/** Values there and back. */
	async "rpc-values"({ env, args, say }) {
		const stub = wrong(env.Remote.getByName(args[0]));
		const cyclic: any = { name: "cyclic" };
		cyclic.self = cyclic;
		const shared = { s: 1 };
		const values: Record<string, unknown> = {
			undefined: undefined, null: null, true: true, zero: 0, "minus zero": -0, NaN: NaN, infinity: -Infinity, "a large integer": 2 ** 53, bigint: -(2n ** 70n),
			text: "text", "Latin-1": "café", "other text": "żółw 🐢", "a lone surrogate": "\ud800", "a long text": "x".repeat(100_000),
			Date: new Date(86_400_000), "an invalid Date": new Date(NaN), RegExp: /a+/gi, Map: new Map<unknown, unknown>([["k", { v: 1 }], [2, new Set([1])]]), Set: new Set(["a", null]),
			array: [1, "two", [3]], holes: [1, , 3], "an array with more": Object.assign([1], { more: 2 }), "an array of an own class": Rows.from([{ n: 1 }]), "such an array within": { rows: Rows.from([1]) }, "a Map of an own class": new Table([[1, 2]]),
			object: { a: 1, b: { c: undefined } }, "integer keys": { 1: "one", 0: "zero" },
			cyclic, "shared twice": [shared, shared], boxed: [Object(1), Object("s"), Object(true), Object(5n)],
			ArrayBuffer: new Uint8Array([1, 2, 3]).buffer, Uint8Array: new Uint8Array([1, 2, 3]), "part of a buffer": new Uint8Array([0, 1, 2, 3, 4]).subarray(1, 3),
			DataView: new DataView(new ArrayBuffer(2)), Float64Array: new Float64Array([1.5]), BigInt64Array: new BigInt64Array([-1n]),
			Error: new Error("an error"), RangeError: new RangeError("a range"), "an error with a cause": new Error("outer", { cause: new TypeError("inner") }),
			"an error of an own class": new MyError("mine"), DOMException: new DOMException("dom", "DataError"), "an error with more": Object.assign(new Error("more"), { code: 5 }),
			"an array of an error": [new Error("within")],
			symbol: Symbol("s"), WeakMap: new WeakMap(), Promise: Promise.resolve(5), "a Promise within": { p: Promise.resolve(5) }, Proxy: new Proxy({ a: 1 }, {}),
			"a class instance": new (class Foo { x = 1; })(), "a class instance within": [{ y: new (class Foo { x = 1; })() }], "of no prototype": Object.create(null),
			"of another prototype": Object.create({ inherited: 1 }), "a getter": { get a() { return 5; } }, "a getter that throws": { get a(): never { throw new RangeError("got"); } },
			"not enumerable": Object.defineProperty({}, "hidden", { value: 1 }), "a symbol as a key": { [Symbol("k")]: 1, a: 2 }, "a frozen object": Object.freeze({ a: 1 }), arguments: (function () { return arguments; } as any)(1),
			Headers: new Headers({ a: "1" }), URL: new URL("http://a/"), URLSearchParams: new URLSearchParams("a=1"), Blob: new Blob(["b"]), File: new File(["f"], "name"),
			AbortSignal: new AbortController().signal, AbortController: new AbortController(), WebSocket: new WebSocketPair()[0], TextEncoder: new TextEncoder(), Event: new Event("x"),
			"an id": env.Remote.idFromName("a"), "a namespace": env.Remote, env, "a generator": (function* () {})(), "an iterator": [1].values(), "a class": class {}, Math,
			"a SharedArrayBuffer": typeof SharedArrayBuffer === "undefined" ? "none" : "some", "a TransformStream": new TransformStream(), "a locked stream": (() => { const s = new ReadableStream(); s.getReader(); return s; })(),
		};
		for (const [label, value] of Object.entries(values)) {
			say(`${label}: ${await settled(async () => {
				const back = await stub.echo(value);
				if (label === "cyclic") return back.self === back && back !== value;
				if (label === "shared twice") return back[0] === back[1];
				if (label === "Headers") return [...back];
				return back;
			})}`);
		}
		for (const kind of ["point", "nested point", "null prototype", "class", "this", "ctx", "storage", "id", "env", "namespace", "symbol"]) {
			say(`returned ${kind}: ${await settled(async () => {
				const got = await stub.make(kind);
				return typeof got === "function" ? Object.prototype.toString.call(got) : got;
			})}`);
		}
		say(`nothing returned: ${await settled(() => stub.nothing())}`);
		say(`a thenable returned: ${await settled(() => stub.thenable())}`);
	},

	async "rpc-limits"({ env, args, say }) {
		const stub = wrong(env.Remote.getByName(args[0]));
		const MiB = 1 << 20;
		say(`an argument of 32 MiB: ${await settled(() => stub.show(new Uint8Array(32 * MiB)))}`);
		// No more than this: one guest serves all scripts, and others watch the clock.
		say(`an argument of 4 MiB: ${await settled(() => stub.show(new Uint8Array(4 * MiB)))}`);
		say(`a text of 33 MiB: ${await settled(() => stub.show("x".repeat(33 * MiB)))}`);
		say(`a result of 4 MiB: ${await settled(async () => (await stub.echo("x".repeat(4 * MiB))).length)}`);
		const deep: any = {};
		let at = deep;
		for (let i = 0; i < 1000; i++) at = at.next = {};
		say(`a deep object: ${await settled(async () => typeof (await stub.echo(deep)))}`);
	},

	/** Everything that is thrown, and what of it arrives. */
	async "rpc-errors"({ env, args, say }) {
		const stub = wrong(env.Remote.getByName(args[0]));
		for (const kind of kindsOfErrors) say(`${kind}: ${await caught(() => stub.throwIt(kind))}`);
		say(`rejected: ${await caught(() => stub.rejectIt("custom class"))}`);
		say(`from a function: ${await caught(async () => (await stub.make("throwing function"))())}`);
		say(`from a callback: ${await caught(() => stub.callIt(() => { throw new MyError("in the callback"); }))}`);
		say(`from another object: ${await caught(() => stub.relay(`${args[0]}-2`, "throwIt", "own properties"))}`);
		say(`the stack is the caller's: ${await settled(async () => {
			try {
				await stub.throwIt("Error");
			} catch (e: any) {
				return /throwIt|remote\.ts/.test(e.stack ?? "");
			}
		})}`);
		say(`caused by a result that cannot be cloned: ${await caught(() => stub.make("nested point"))}`);
		say(`caused by an argument: ${await caught(() => stub.echo(Symbol("s")))}`);
		say(`over fetch: ${await caught(() => wrong(env.Plain.getByName(args[0])).missing())}`);
	},

	/** The Worker's own entrypoints. */
	async "rpc-entrypoints"({ env, args, say }) {
		const o = async (label: string, f: () => unknown) => say(`${label}: ${await settled(f)}`);
		const all = wrong(exports);
		await o("the kinds", () => Object.keys(all).sort().map((k) => `${k} ${typeof all[k]} ${Object.prototype.toString.call(all[k])}`));
		await o("a method", () => all.Entry.greet("you"));
		await o("a getter", () => all.Entry.aGetter);
		await o("an own property", () => all.Entry.own);
		await o("a missing method", () => all.Entry.missing());
		await o("a method that throws", () => all.Entry.boom());
		await o("fetch", async () => (await all.Entry.fetch("http://x/path")).text());
		await o("props, when none are given", () => all.Entry.props());
		await o("props", () => all.Entry({ props: { a: 1, b: [2] } }).props());
		await o("props and fetch", async () => (await all.Entry({ props: { p: 1 } }).fetch("http://x/path")).text());
		await o("props that are no object", () => all.Entry({ props: 5 }).props());
		await o("props with a function", () => all.Entry({ props: { f: () => 1 } }).props());
		await o("its bindings", () => all.Entry.bindings());
		await o("another object through it", () => all.Entry.callObject(args[0]));
		await o("from within an object", () => wrong(env.Remote.getByName(args[0])).withExports());
		await o("a target", async () => {
			using c = await all.Entry.counter(args[0]);
			return await c.add(2);
		});
		await o("pipelined", () => all.Entry.counter(args[0]).add(3));
		await o("a callback", () => all.Entry.counter(args[0]).call((n: number) => n + 1));
		await o("the default export", () => all.default.anything());
		await o("an object of handlers", () => all.handlers.method());
		await o("with arguments", () => all.handlers.withArgs("a", "b", "c"));
		await o("its fetch", async () => (await all.handlers.fetch("http://x/")).text());
		await o("a missing one", () => all.handlers.missing());
		await o("a class that extends nothing", () => all.PlainEntry.greet());
		await o("a namespace", () => all.Remote.getByName(args[0]).nameOf());
		await o("a reserved name", () => all.Entry.constructor());
		await o("another reserved name", () => all.Entry.scheduled());
		await o("the stub as an argument", () => wrong(env.Remote.getByName(args[0])).callMethod(all.Entry, "greet", "through an object"));
		await o("the stub with props as an argument", () => wrong(env.Remote.getByName(args[0])).callMethod(all.Entry({ props: { passed: true } }), "props"));
	},
};
