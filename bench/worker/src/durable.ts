// What the questions about storage are asked of. A message names what is to be
// done and how often; all of it happens in one turn, and the answer waits until
// that is on disk.

import { DurableObject } from "cloudflare:workers";

export class Store extends DurableObject<unknown> {
	readonly #born = crypto.randomUUID();

	constructor(ctx: DurableObjectState, env: unknown) {
		super(ctx, env);
		ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS notes(id INTEGER PRIMARY KEY, who TEXT, body TEXT)");
	}

	readonly #work: Record<string, (n: number) => void | Promise<void>> = {
		insert: (n) => {
			for (let i = 0; i < n; i++) this.ctx.storage.sql.exec("INSERT INTO notes(who, body) VALUES (?, ?)", "somebody", "a note of no length");
		},
		select: (n) => {
			for (let i = 1; i <= n; i++) this.ctx.storage.sql.exec("SELECT who, body FROM notes WHERE id = ?", i).toArray();
		},
		// One call is a put and a get, each awaited.
		putget: async (n) => {
			for (let i = 0; i < n; i++) {
				await this.ctx.storage.put(`key ${i % 100}`, { i });
				await this.ctx.storage.get(`key ${i % 100}`);
			}
		},
	};

	override async webSocketMessage(ws: WebSocket, message: string): Promise<void> {
		const [what, count] = message.split(" ") as [string, string];
		const pending = this.#work[what]!(Number(count));
		if (pending) await pending;
		ws.send("done");
	}

	override webSocketClose(ws: WebSocket, code: number): void {
		ws.close(code === 1005 || code === 1006 ? 1000 : code);
	}

	/** Without an Upgrade: POST stores so many rows of 1,000 bytes, GET reads all; both say which instance did. */
	override fetch(request: Request): Response {
		const { sql } = this.ctx.storage;
		if (request.headers.get("Upgrade") === "websocket") {
			const { 0: client, 1: server } = new WebSocketPair();
			this.ctx.acceptWebSocket(server);
			return new Response(null, { status: 101, webSocket: client });
		}
		if (request.method === "POST") {
			const rows = Number(new URL(request.url).searchParams.get("rows"));
			for (let i = 0; i < rows; i++) sql.exec("INSERT INTO notes(who, body) VALUES ('filler', ?)", "n".repeat(1000));
		}
		const { bytes } = sql.exec("SELECT ifnull(sum(length(body)), 0) AS bytes FROM notes").one();
		return Response.json({ born: this.#born, bytes });
	}
}
