import { DurableObject } from "cloudflare:workers";
import { note } from "./log";
import { Env } from "./probe";
import { settled, show } from "./show";

/** A class that extends nothing, with handlers that an instance brings itself. */
export class Plain {
	readonly ctx: DurableObjectState;
	webSocketMessage: (ws: WebSocket, message: string | ArrayBuffer) => void;

	constructor(ctx: DurableObjectState, _: Env) {
		this.ctx = ctx;
		note(ctx.id.name ?? "unnamed", `constructed with ctx.id.name ${show(ctx.id.name)}`);
		this.webSocketMessage = (ws, message) => ws.send(`plain ${message}`);
	}

	fetch(request: Request): Response {
		if (!new URL(request.url).pathname.startsWith("/ws/")) {
			return new Response(`plain, ${show(Object.keys(this))}`);
		}
		const { 0: client, 1: server } = new WebSocketPair();
		this.ctx.acceptWebSocket(server);
		return new Response(null, { status: 101, webSocket: client });
	}

	hello(): string {
		return "not reached by RPC";
	}
}

/** Accepts sockets and has no handler for them, nor one for alarms. */
export class Mute extends DurableObject<Env> {
	override fetch(request: Request): Response | Promise<Response> {
		if (!new URL(request.url).pathname.startsWith("/ws/")) {
			if (new URL(request.url).pathname.endsWith("/set-alarm")) return this.#setAlarm();
			return new Response(`sockets ${this.ctx.getWebSockets().length}`);
		}
		const { 0: client, 1: server } = new WebSocketPair();
		this.ctx.acceptWebSocket(server);
		return new Response(null, { status: 101, webSocket: client });
	}

	async #setAlarm(): Promise<Response> {
		return new Response(`set ${await settled(() => this.ctx.storage.setAlarm(Date.now() + 3_600_000))}, got ${await settled(() => this.ctx.storage.getAlarm())}`);
	}
}

/** Has no fetch and no alarm. */
export class NoFetch extends DurableObject<Env> {
	async setAlarm(): Promise<void> {
		await this.ctx.storage.setAlarm(Date.now() + 3_600_000);
	}
}
