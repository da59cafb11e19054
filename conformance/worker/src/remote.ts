// The other side of the scripts about RPC: an object, an entrypoint and the
// things that they hand out.

import { DurableObject, exports, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
import { note } from "./log";
import { Env, sleep, wrong } from "./probe";
import { complaint, settled, show } from "./show";

/** Something handed out by reference. It writes down its end. */
export class Counter extends RpcTarget {
	#value: number;
	readonly #name: string;
	own = "an own property";

	constructor(name: string, value = 0) {
		super();
		this.#name = name;
		this.#value = value;
	}

	add(n = 1): number {
		return (this.#value += n);
	}

	get value(): number {
		return this.#value;
	}

	get child(): Counter {
		return new Counter(`${this.#name}/child`, 100);
	}

	self(): this {
		return this;
	}

	boom(): never {
		throw new TypeError("the counter threw");
	}

	async call(f: (n: number) => unknown): Promise<unknown> {
		return f(this.#value);
	}

	[Symbol.dispose](): void {
		note(this.#name.split("/")[0], `disposed ${this.#name} at ${this.#value}`);
	}
}

class Point {
	constructor(readonly x: number) {}
}

export class MyError extends Error {
	override name = "MyError";
	code = 42;
	detail = { a: [1, 2] };
}

class Base extends DurableObject<Env> {
	inherited(): string {
		return "from the base class";
	}
}

let births = 0;

export class Remote extends Base {
	readonly #name: string;
	own = "an own property";
	ownMethod = (): string => "an own method";
	kept: any = undefined;
	readonly #birth = ++births;

	constructor(ctx: DurableObjectState, env: Env) {
		super(ctx, env);
		this.#name = ctx.id.name ?? "unnamed";
	}

	override async fetch(request: Request): Promise<Response> {
		note(this.#name, `fetch ${new URL(request.url).pathname}`);
		return new Response(`fetched ${request.url}`);
	}

	static aStatic(): string {
		return "static";
	}

	get aGetter(): string {
		return "got";
	}

	get anObject(): object {
		return { a: { b: [1, { c: "deep" }] }, f: (x: number) => x + 1, counter: new Counter(this.#name, 5) };
	}

	get aThrowingGetter(): never {
		throw new RangeError("the getter threw");
	}

	get aFunction(): (x: number) => number {
		return (x) => x * 2;
	}

	get aPromise(): Promise<string> {
		return Promise.resolve("promised");
	}

	set aSetter(_: unknown) {}

	echo(...values: unknown[]): unknown {
		return values[0];
	}

	show(...values: unknown[]): string {
		return values.map(show).join(", ");
	}

	tag(value: unknown): string {
		return `${typeof value} ${Object.prototype.toString.call(value)}`;
	}

	nothing(): void {}

	thenable(): unknown {
		return { then: (f: (x: string) => void) => f("a thenable's value") };
	}

	make(kind: string): unknown {
		switch (kind) {
			case "function": return (a: number, b: number) => a + b;
			case "counter": return new Counter(this.#name, 1);
			case "object": return { n: 1, f: () => "called f", counter: new Counter(this.#name, 7), list: [new Counter(this.#name, 8)] };
			case "point": return new Point(1);
			case "nested point": return { p: [new Point(1)] };
			case "null prototype": return Object.assign(Object.create(null), { a: 1 });
			case "class": return Point;
			case "async function": return async (x: number) => {
				await sleep(1);
				return x * 10;
			};
			case "throwing function": return () => {
				throw new SyntaxError("the function threw");
			};
			case "this": return this;
			case "ctx": return this.ctx;
			case "storage": return this.ctx.storage;
			case "id": return this.ctx.id;
			case "env": return this.env;
			case "stub": return this.env.Remote.getByName(`${this.#name}-other`);
			case "namespace": return this.env.Remote;
			case "symbol": return Symbol("s");
			case "array with a function": return [1, () => 2];
			case "own function": return Object.assign(() => 1, { prop: 5 });
		}
		throw new Error(`no such kind ${kind}`);
	}

	throwIt(kind: string): never {
		switch (kind) {
			case "Error": throw new Error("plain");
			case "TypeError": throw new TypeError("typed");
			case "EvalError": throw new EvalError("eval");
			case "URIError": throw new URIError("uri");
			case "own properties": throw Object.assign(new Error("with more"), { code: "E_CODE", data: new Map([["a", 1]]) });
			case "custom class": throw new MyError("custom");
			case "renamed": throw Object.assign(new Error("renamed"), { name: "Other" });
			case "cause": throw new Error("outer", { cause: new RangeError("inner") });
			case "plain cause": throw new Error("outer", { cause: { reason: "plain" } });
			case "aggregate": throw new AggregateError([new TypeError("one"), "two"], "several");
			case "DOMException": throw new DOMException("dom", "AbortError");
			case "string": throw "a string";
			case "number": throw 7;
			case "null": throw null;
			case "undefined": throw undefined;
			case "object": throw { plain: "object", message: "its message" };
			case "uncloneable property": throw Object.assign(new Error("with a symbol"), { s: Symbol("x"), kept: 1 });
			case "function property": throw Object.assign(new Error("with a function"), { f: () => 1, kept: 1 });
			case "retryable": throw Object.assign(new Error("made up"), { retryable: true, overloaded: true, remote: false });
			case "empty": throw new Error();
			case "symbol": throw Symbol("thrown");
			case "bigint": throw 9n;
			case "a function": throw () => 1;
			case "point": throw new Point(3);
		}
		throw new Error(`no such kind ${kind}`);
	}

	async rejectIt(kind: string): Promise<never> {
		await sleep(1);
		return this.throwIt(kind);
	}

	// Stubs that callers pass.

	callIt(f: (...args: unknown[]) => unknown, ...args: unknown[]): unknown {
		return f(...args);
	}

	async callMany(f: (n: number) => Promise<unknown>, n: number): Promise<unknown[]> {
		return Promise.all(Array.from({ length: n }, (_, i) => f(i)));
	}

	async callMethod(target: any, method: string, ...args: unknown[]): Promise<unknown> {
		return target[method](...args);
	}

	async describeStub(stub: any): Promise<string> {
		return `${typeof stub}, ${Object.prototype.toString.call(stub)}, id ${typeof stub.id}, name ${typeof stub.name}, fetch ${typeof stub.fetch}, keys ${show(Object.keys(stub))}`;
	}

	keep(stub: unknown): void {
		this.kept = stub;
	}

	keepDup(stub: any): void {
		this.kept = stub.dup();
	}

	async useKept(...args: unknown[]): Promise<unknown> {
		return this.kept(...args);
	}

	disposeKept(): void {
		this.kept[Symbol.dispose]();
		this.kept = undefined;
	}

	giveBack(stub: unknown): unknown {
		return stub;
	}

	giveBackDup(stub: any): unknown {
		return stub.dup();
	}

	// Other objects.

	async relay(other: string, method: string, ...args: unknown[]): Promise<unknown> {
		return wrong(this.env.Remote.getByName(other))[method](...args);
	}

	async nameOf(): Promise<string> {
		return this.#name;
	}

	async callLoop(other: string, depth: number): Promise<string> {
		if (depth === 0) return this.#name;
		return `${this.#name} ${await wrong(this.env.Remote.getByName(other)).callLoop(this.#name, depth - 1)}`;
	}

	// Gates and time.

	async slow(ms: number, word = "slow"): Promise<string> {
		note(this.#name, `${word} begins`);
		await sleep(ms);
		note(this.#name, `${word} ends`);
		return word;
	}

	mark(word: string): string {
		note(this.#name, word);
		return word;
	}

	async increment(): Promise<number> {
		const n = ((await this.ctx.storage.get<number>("n")) ?? 0) + 1;
		await this.ctx.storage.put("n", n);
		return n;
	}

	async blocked(f: () => Promise<unknown>): Promise<unknown> {
		return this.ctx.blockConcurrencyWhile(async () => {
			note(this.#name, "the section begins");
			const got = await f();
			note(this.#name, "the section ends");
			return got;
		});
	}

	async failBlocked(): Promise<void> {
		await this.ctx.blockConcurrencyWhile(async () => {
			throw new RangeError("the section threw");
		});
	}

	birth(): number {
		return this.#birth > 0 ? 1 : 0;
	}

	remember(x: unknown): void {
		this.kept = x;
	}

	remembered(): unknown {
		return this.kept;
	}

	async hold(other: string): Promise<string> {
		this.kept = await wrong(this.env.Remote.getByName(other)).make("counter");
		return "held";
	}

	async useHeld(): Promise<unknown> {
		return this.kept === undefined ? "nothing is held" : this.kept.add();
	}

	letGo(): void {
		this.kept?.[Symbol.dispose]();
		this.kept = undefined;
	}

	abort(reason: string): void {
		this.ctx.abort(reason);
	}

	never(): Promise<void> {
		return new Promise(() => {});
	}

	// Streams and HTTP.

	stream(...chunks: string[]): ReadableStream {
		return new ReadableStream({
			type: "bytes",
			pull(c) {
				const next = chunks.shift();
				if (next === undefined) c.close();
				else c.enqueue(new TextEncoder().encode(next));
			},
		});
	}

	valueStream(...chunks: unknown[]): ReadableStream {
		return new ReadableStream({
			start(c) {
				for (const chunk of chunks) c.enqueue(chunk);
				c.close();
			},
		});
	}

	brokenStream(): ReadableStream {
		let n = 0;
		return new ReadableStream({
			type: "bytes",
			pull(c) {
				if (n++ === 0) c.enqueue(new TextEncoder().encode("first"));
				else c.error(new RangeError("the source broke"));
			},
		});
	}

	endless(): ReadableStream {
		const name = this.#name;
		return new ReadableStream({
			type: "bytes",
			pull(c) {
				c.enqueue(new Uint8Array(1024));
			},
			cancel(reason) {
				note(name, `cancelled: ${complaint(reason)}`);
			},
		});
	}

	large(bytes: number): ReadableStream {
		let left = bytes;
		return new ReadableStream({
			type: "bytes",
			pull(c) {
				const n = Math.min(left, 50_000);
				if (n === 0) c.close();
				else c.enqueue(new Uint8Array(n).fill(7));
				left -= n;
			},
		});
	}

	async readAll(stream: ReadableStream): Promise<string> {
		let all = "";
		for await (const chunk of stream.pipeThrough(wrong(new TextDecoderStream()))) all += chunk;
		return all;
	}

	async countBytes(stream: ReadableStream): Promise<number> {
		let n = 0;
		for await (const chunk of stream) n += wrong(chunk).byteLength;
		return n;
	}

	async writeTo(stream: WritableStream, ...chunks: string[]): Promise<string> {
		const writer = stream.getWriter();
		for (const chunk of chunks) await writer.write(new TextEncoder().encode(chunk));
		return settled(() => writer.close());
	}

	async abortWriter(stream: WritableStream): Promise<string> {
		const writer = stream.getWriter();
		await writer.write(new TextEncoder().encode("before"));
		return settled(() => writer.abort(new RangeError("the writer gave up")));
	}

	async describeRequest(request: Request): Promise<string> {
		return `${request.method} ${request.url} ${show([...request.headers])} ${request.redirect} ${show(await request.text())}`;
	}

	respond(body: string, status = 200): Response {
		return new Response(body, { status, statusText: "Fine", headers: { "x-a": "1", "content-type": "text/x" } });
	}

	respondStream(): Response {
		return new Response(this.stream("a", "b", "c"), { headers: { "x-stream": "yes" } });
	}

	respondSocket(): Response {
		const { 0: client, 1: server } = new WebSocketPair();
		server.accept();
		server.send("over RPC");
		return new Response(null, { status: 101, webSocket: client });
	}

	headers(): Headers {
		return new Headers([["x-a", "1"], ["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"]]);
	}

	makeRequest(): Request {
		return new Request("http://example.com/path?q=1", { method: "POST", body: "the body", headers: { "x-b": "2" } });
	}

	async withExports(): Promise<string> {
		return settled(() => wrong(exports).Entry.greet("the object"));
	}
}

/** An entrypoint of the Worker. */
export class Entry extends WorkerEntrypoint<Env> {
	own = "an own property";

	override async fetch(request: Request): Promise<Response> {
		return new Response(`Entry fetched ${new URL(request.url).pathname} with ${show(this.ctx.props)}`);
	}

	greet(name: string): string {
		return `Entry greets ${name}`;
	}

	props(): unknown {
		return this.ctx.props;
	}

	counter(name: string): Counter {
		return new Counter(name, 40);
	}

	get aGetter(): string {
		return "got from Entry";
	}

	boom(): never {
		throw new RangeError("Entry threw");
	}

	async callObject(name: string): Promise<unknown> {
		return wrong(this.env.Remote.getByName(name)).nameOf();
	}

	bindings(): string {
		return show(Object.keys(this.env).sort());
	}
}

/** An entrypoint that is an object of handlers. */
export const handlers = {
	fetch(): Response {
		return new Response("handlers fetched");
	},
	method(): string {
		return "a method of an object of handlers";
	},
	async withArgs(...args: unknown[]): Promise<string> {
		return `${args.length} arguments, the first ${show(args[0])}`;
	},
};

/** Extends nothing. */
export class PlainEntry {
	greet(): string {
		return "not reached";
	}
}
