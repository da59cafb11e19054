import { DurableObject } from "cloudflare:workers";

interface Env {
	ROOM: DurableObjectNamespace<Room>;
	KV: KVNamespace;
	R2: R2Bucket;
}

/** Its clients hear of everything; it remembers nothing but what is stored. */
export class Room extends DurableObject<Env> {
	readonly constructed: number;

	constructor(ctx: DurableObjectState, env: Env) {
		super(ctx, env);
		this.constructed = (ctx.storage.kv.get<number>("constructed") ?? 0) + 1;
		ctx.storage.kv.put("constructed", this.constructed);
	}

	override async fetch(): Promise<Response> {
		const [client, server] = Object.values(new WebSocketPair());
		this.ctx.acceptWebSocket(server!);
		return new Response(null, { status: 101, webSocket: client! });
	}

	async remember(text: string): Promise<void> {
		await this.ctx.storage.put("text", text);
	}

	/** What the whole promise is: one push, from everywhere. */
	async push(origin: string): Promise<number> {
		const [stored, fetched, value, object] = await Promise.all([
			this.ctx.storage.get<string>("text"),
			fetch(origin).then((r) => r.text()),
			this.env.KV.getWithMetadata<{ from: string }>("greeting"),
			this.env.R2.get("poster").then((o) => o?.text()),
		]);
		const said = JSON.stringify({ constructed: this.constructed, stored, fetched, value: value.value, from: value.metadata?.from, object });
		const clients = this.ctx.getWebSockets();
		for (const c of clients) c.send(said);
		await this.env.KV.put("last push", said);
		return clients.length;
	}
}

const piece = new Uint8Array(64 << 10).fill(7);

export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		const url = new URL(request.url);
		const [, verb = "", name = ""] = url.pathname.split("/").map(decodeURIComponent);
		const room = env.ROOM.getByName(name);
		switch (`${request.method} ${verb}`) {
			case "GET ws":
				return room.fetch(request);
			case "POST remember":
				await room.remember(await request.text());
				return new Response("");
			case "POST push":
				return Response.json(await room.push(await request.text()));
			case "PUT kv":
				await env.KV.put(name, request.body!, { metadata: { from: "a client" } });
				return new Response("");
			case "GET kv":
				return new Response(await env.KV.get(name, "stream"), { status: 200 });
			case "PUT r2": {
				const o = await env.R2.put(name, request.body, { httpMetadata: { contentType: "application/x-own" } });
				return new Response(o.etag);
			}
			case "GET r2": {
				const o = await env.R2.get(name, { range: request.headers, onlyIf: request.headers });
				if (o === null) return new Response("", { status: 404 });
				const headers = new Headers({ etag: o.httpEtag });
				o.writeHttpMetadata(headers);
				if (!("body" in o)) return new Response(null, { status: 304, headers });
				return new Response(o.body, { headers });
			}
			case "PUT count": {
				let n = 0;
				for await (const p of request.body!) n += p.byteLength;
				return Response.json(n);
			}
			case "PUT broken": {
				// Reads until its writer has left, and says what it saw of that.
				request.signal.addEventListener("abort", () => void env.KV.put("aborted", name));
				try {
					for await (const _ of request.body!) await env.KV.put("reading", name);
				} catch (e) {
					await env.KV.put("broken", `${name}: ${(e as Error).message}`);
				}
				return new Response("nobody hears this");
			}
			case "GET endless": {
				// Ends when its reader leaves, and not before.
				const stream = new ReadableStream({
					pull: (c) => c.enqueue(piece),
					cancel: () => env.KV.put("left", name),
				});
				return new Response(stream);
			}
			case "GET long": {
				let left = Number(name);
				const stream = new ReadableStream({
					pull(c) {
						if (left === 0) return c.close();
						const n = Math.min(left, piece.byteLength);
						c.enqueue(piece.subarray(0, n));
						left -= n;
					},
				});
				return new Response(stream);
			}
		}
		return new Response("ready");
	},
} satisfies ExportedHandler<Env>;
