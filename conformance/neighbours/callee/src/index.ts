// The Worker behind: everything here is called by ../caller.

import { DurableObject, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";

export class Counter extends DurableObject<Env> {
	#instance = 0;
	get instance(): number {
		return this.#instance;
	}
	async add(n: number): Promise<number> {
		this.#instance++;
		const sum = ((await this.ctx.storage.get<number>("sum")) ?? 0) + n;
		await this.ctx.storage.put("sum", sum);
		return sum;
	}
	myName(): string | undefined {
		return this.ctx.id.name;
	}
	myId(): string {
		return this.ctx.id.toString();
	}
	throws(): never {
		throw Object.assign(new RangeError("the object says no"), { code: 7 });
	}
	reset(): void {
		this.ctx.abort("reset on purpose");
	}
	async callLater(f: (n: number) => Promise<number>): Promise<number> {
		await this.ctx.storage.put("before", 1);
		return f(20);
	}
	override fetch(request: Request): Response {
		if (request.headers.get("upgrade") === "websocket") {
			const [theirs, ours] = Object.values(new WebSocketPair());
			this.ctx.acceptWebSocket(ours);
			return new Response(null, { status: 101, webSocket: theirs });
		}
		return new Response(`${request.method} ${request.url} of ${this.ctx.id.name}`, { headers: { "x-object": "yes" } });
	}
	override webSocketMessage(ws: WebSocket, message: string): void {
		ws.send(`object ${message}`);
	}
	override webSocketClose(ws: WebSocket, code: number, reason: string): void {
		ws.close(code, `${reason} back`);
	}
}

/** It has no RPC. */
export class Plain {
	fetch(): Response {
		return new Response("plain");
	}
	hello(): string {
		return "hello";
	}
}

class Basket extends RpcTarget {
	#items: number[];
	constructor(...items: number[]) {
		super();
		this.#items = items;
	}
	add(item: number): Basket {
		return new Basket(...this.#items, item);
	}
	get size(): number {
		return this.#items.length;
	}
	total(): number {
		return this.#items.reduce((a, b) => a + b, 0);
	}
}

interface Env {
	Counter: DurableObjectNamespace<Counter>;
	Plain: DurableObjectNamespace;
	CODE: string;
}

export class Admin extends WorkerEntrypoint<Env, Record<string, unknown>> {
	props(): unknown {
		return this.ctx.props;
	}
	names(): string[] {
		return Object.keys(this.env).sort();
	}
	echo<T>(value: T): T {
		return value;
	}
	kind(value: unknown): string {
		return Object.prototype.toString.call(value);
	}
	throws(): never {
		throw Object.assign(new TypeError("the entrypoint says no"), { code: 8, cause: new Error("why") });
	}
	async calls(f: (n: number) => Promise<number>, n: number): Promise<number> {
		return (await f(n)) + 1;
	}
	callsThatThrow(f: () => Promise<unknown>): Promise<unknown> {
		return f();
	}
	basket(n: number): Basket {
		return new Basket(n);
	}
	adder(by: number): (n: number) => number {
		return (n) => n + by;
	}
	stream(n: number): ReadableStream {
		return new Response("x".repeat(n)).body!;
	}
	async length(stream: ReadableStream): Promise<number> {
		return (await new Response(stream).text()).length;
	}
	answer(): Response {
		return new Response("by RPC", { status: 202, headers: { "x-by": "rpc" } });
	}
	async request(r: Request): Promise<string> {
		return `${r.method} ${r.url} ${await r.text()}`;
	}
	override fetch(request: Request): Response {
		return new Response(`admin ${request.method} ${JSON.stringify(this.ctx.props)}`);
	}
}

export const handlers = {
	fetch(): Response {
		return new Response("handlers");
	},
	one(value: string): string {
		return `one ${value}`;
	},
};

export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		const url = new URL(request.url);
		if (request.headers.get("upgrade") === "websocket") {
			if (url.pathname === "/object") return env.Counter.getByName("socket").fetch(request);
			const [theirs, ours] = Object.values(new WebSocketPair());
			ours.accept();
			ours.addEventListener("message", (e) => ours.send(`worker ${e.data}`));
			ours.addEventListener("close", (e) => ours.close(e.code, `${e.reason} back`));
			return new Response(null, { status: 101, webSocket: theirs });
		}
		switch (url.pathname) {
			case "/echo":
				return new Response(request.body, { headers: { "x-method": request.method, "x-header": request.headers.get("x-header") ?? "none" } });
			case "/throw":
				throw Object.assign(new SyntaxError("the handler says no"), { code: 9 });
			case "/redirect":
				return new Response(null, { status: 302, headers: { location: "/elsewhere" } });
			case "/nothing":
				return undefined as unknown as Response;
		}
		return new Response(`${request.method} ${request.url} ${env.CODE} ${Object.keys(env).sort().join()}`, { status: 201, statusText: "Created" });
	},
};
