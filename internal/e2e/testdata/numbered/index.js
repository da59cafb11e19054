// A room answers each numbered message of a socket with a number of its own, and
// says which one it had seen before: whoever listens knows what was lost, doubled
// or came out of order, on either way. What it has seen stands in the socket's
// attachment, which outlives the instance.
import { DurableObject } from "cloudflare:workers";

export class Room extends DurableObject {
	constructor(ctx, env) {
		super(ctx, env);
		this.born = Date.now();
		if (ctx.storage.kv.get("ticks")) this.tick();
	}

	async fetch(request) {
		const url = new URL(request.url);
		switch (url.pathname) {
			case "/socket": {
				const [client, server] = Object.values(new WebSocketPair());
				const name = url.searchParams.get("name");
				server.serializeAttachment({ name, seen: 0, said: 0 });
				this.ctx.acceptWebSocket(server, [name]);
				return new Response(null, { status: 101, webSocket: client });
			}
			case "/standard": {
				const [client, server] = Object.values(new WebSocketPair());
				server.accept();
				server.addEventListener("message", (e) => server.send(e.data));
				return new Response(null, { status: 101, webSocket: client });
			}
			case "/slow":
				await new Promise((done) => setTimeout(done, Number(url.searchParams.get("ms"))));
				return new Response(this.env.CODE);
			case "/timer":
				this.ctx.storage.kv.put("ticks", true);
				this.tick();
				return new Response(this.env.CODE);
			case "/ask": {
				// Another room, which may run other code than this one.
				const other = this.env.ROOM.get(this.env.ROOM.idFromName(url.searchParams.get("room")));
				return new Response(`${this.env.CODE} ${await (await other.fetch("http://room/code")).text()} ${await other.code()}`);
			}
		}
		return new Response(this.env.CODE);
	}

	code() {
		return this.env.CODE;
	}

	tick() {
		setInterval(() => {}, 1000);
	}

	webSocketMessage(ws, text) {
		const a = ws.deserializeAttachment();
		if (text === "who") {
			ws.send(JSON.stringify({ who: a.name, tags: this.ctx.getTags(ws), seen: a.seen, code: this.env.CODE }));
			return;
		}
		const n = Number(text);
		const before = a.seen;
		a.seen = n;
		a.said++;
		ws.serializeAttachment(a);
		ws.send(JSON.stringify({ n, before, said: a.said, code: this.env.CODE, born: this.born }));
	}
}

export default {
	async fetch(request, env) {
		const url = new URL(request.url);
		const [, room, ...rest] = url.pathname.split("/");
		if (rest.length === 0) return new Response(env.CODE);
		url.pathname = "/" + rest.join("/");
		try {
			return await env.ROOM.get(env.ROOM.idFromName(room)).fetch(new Request(url, request));
		} catch (e) {
			return new Response(`${e.message} ${e.retryable} ${e.durableObjectReset}`, { status: 503 });
		}
	},
};
