// The Worker behind the benchmarks: ordinary Durable Object code, one class a
// question. GET /ws/<class>/<object name> with an Upgrade joins that object;
// /http/<class>/<object name> is a plain request to it.

import { DurableObject } from "cloudflare:workers";
import type { Store } from "./durable";

export { Store } from "./durable";

interface Env {
	Echo: DurableObjectNamespace;
	Steady: DurableObjectNamespace;
	Broadcast: DurableObjectNamespace;
	AutoResponse: DurableObjectNamespace;
	Idle: DurableObjectNamespace;
	Alarm: DurableObjectNamespace;
	Callee: DurableObjectNamespace<Callee>;
	Store: DurableObjectNamespace<Store>;
	Chat: DurableObjectNamespace;
	Tagged: DurableObjectNamespace;
	Awake: DurableObjectNamespace;
	Burner: DurableObjectNamespace;
	Hello: DurableObjectNamespace;
}

/** Accepts whoever comes, hibernatably, and answers a Close. */
abstract class Room extends DurableObject<Env> {
	override fetch(): Response {
		const { 0: client, 1: server } = new WebSocketPair();
		this.ctx.acceptWebSocket(server);
		return new Response(null, { status: 101, webSocket: client });
	}

	override webSocketClose(ws: WebSocket, code: number): void {
		ws.close(code === 1005 || code === 1006 ? 1000 : code);
	}
}

/** Returns each message to its sender. */
export class Echo extends Room {
	override webSocketMessage(ws: WebSocket, message: string | ArrayBuffer): void {
		ws.send(message);
	}
}

/** Returns each message too, and stays in memory while its socket is there: it has a timer. */
export class Steady extends Echo {
	readonly timer = setTimeout(() => {}, 3_600_000);

	override webSocketClose(): void {
		clearTimeout(this.timer);
	}

	override webSocketError(): void {
		clearTimeout(this.timer);
	}
}

/** Sends each message to everyone in the room, the sender included. */
export class Broadcast extends Room {
	override webSocketMessage(_: WebSocket, message: string | ArrayBuffer): void {
		for (const ws of this.ctx.getWebSockets()) ws.send(message);
	}
}

/** Answers "ping" with "pong" without being asked. */
export class AutoResponse extends Room {
	constructor(ctx: DurableObjectState, env: Env) {
		super(ctx, env);
		ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
	}
}

/** Tells how often its constructor has run, so that hibernation can be seen. */
export class Idle extends Room {
	constructor(ctx: DurableObjectState, env: Env) {
		super(ctx, env);
		const births = ctx.storage.kv.get<number>("births") ?? 0;
		ctx.storage.kv.put("births", births + 1);
	}

	override webSocketMessage(ws: WebSocket): void {
		ws.send(String(this.ctx.storage.kv.get("births")));
	}
}

/** Sets its alarm to now, and answers from the handler. */
export class Alarm extends Room {
	override webSocketMessage(): Promise<void> {
		return this.ctx.storage.setAlarm(Date.now());
	}

	override alarm(): void {
		for (const ws of this.ctx.getWebSockets()) ws.send("rang");
	}
}

/** Keeps each message, and sends it to everyone in the room. */
export class Chat extends Room {
	constructor(ctx: DurableObjectState, env: Env) {
		super(ctx, env);
		ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, text TEXT)");
	}

	override webSocketMessage(_: WebSocket, message: string | ArrayBuffer): void {
		this.ctx.storage.sql.exec("INSERT INTO messages (text) VALUES (?)", message);
		for (const ws of this.ctx.getWebSockets()) ws.send(message);
	}
}

/** Its sockets have what an application gives them: a tag and an attachment. */
export class Tagged extends Idle {
	override fetch(): Response {
		const { 0: client, 1: server } = new WebSocketPair();
		this.ctx.acceptWebSocket(server, [`user-${Math.floor(Math.random() * 1e9)}`, "room"]);
		server.serializeAttachment({ user: "somebody", joined: Date.now(), colour: "grey" });
		return new Response(null, { status: 101, webSocket: client });
	}
}

/** Stays in memory: it has a timer. */
export class Awake extends Idle {
	readonly timer = setTimeout(() => {}, 3_600_000);
}

/** Computes for so many milliseconds, as the message or the query says. */
export class Burner extends Room {
	override fetch(request?: Request): Response {
		if (request?.headers.get("Upgrade")) return super.fetch();
		const ms = new URL(request?.url ?? "").searchParams.get("ms") ?? "";
		return new Response(burn(ms) ? ms : "never");
	}

	override webSocketMessage(ws: WebSocket, message: string | ArrayBuffer): void {
		ws.send(burn(message) ? message : "never");
	}
}

/** Says whether it has computed; it always has, which the compiler does not know. */
function burn(ms: string | ArrayBuffer): boolean {
	const rounds = Number(ms) * 200_000;
	let n = 0;
	for (let i = 0; i < rounds; i++) n = (n * 31 + i) | 0;
	return n !== 0.5;
}

/** Answers a request. */
export class Hello extends DurableObject<Env> {
	override fetch(): Response {
		return new Response("hello");
	}
}

/** Is called. */
export class Callee extends DurableObject<Env> {
	echo(text: string): string {
		return text;
	}
}

/** Calls an object so many times, so many at a time, and checks what comes back. */
async function calls(env: Env, count: number, inFlight: number, size: number): Promise<Response> {
	const stub = env.Callee.getByName("callee");
	const text = "c".repeat(size);
	let left = count;
	let wrong = 0;
	const caller = async (): Promise<void> => {
		while (left-- > 0) if ((await stub.echo(text)) !== text) wrong++;
	};
	await Promise.all(Array.from({ length: inFlight }, caller));
	return new Response(wrong === 0 ? "right" : `${wrong} wrong`);
}

export default {
	fetch(request: Request, env: Env): Response | Promise<Response> {
		const [, kind, name, room, ...more] = new URL(request.url).pathname.split("/");
		if (kind === "calls") return calls(env, Number(room), Number(more[0]), Number(more[1]));
		if (kind === "ready") return new Response("ready");
		const namespace = Object.hasOwn(env, name) ? env[name as keyof Env] : undefined;
		if ((kind !== "ws" && kind !== "http") || !namespace) return new Response("no such class", { status: 404 });
		return namespace.getByName(room).fetch(request);
	},
};
