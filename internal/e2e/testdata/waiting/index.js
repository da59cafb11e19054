// A room that can be made to have messages wait for its input gate, and to have
// handlers that go on.
import { DurableObject } from "cloudflare:workers";

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

export class Room extends DurableObject {
	fetch() {
		const [client, server] = Object.values(new WebSocketPair());
		this.ctx.acceptWebSocket(server);
		return new Response(null, { status: 101, webSocket: client });
	}

	async webSocketMessage(ws, text) {
		switch (text) {
			case "last":
				ws.send("lasting");
				await sleep(600_000);
				break;
			case "hold":
				await this.ctx.blockConcurrencyWhile(async () => {
					ws.send("holding");
					await sleep(29_000);
				});
				break;
			case "fall":
				await this.ctx.blockConcurrencyWhile(async () => {
					ws.send("falling");
					await sleep(1000);
					throw new Error("fallen");
				});
				break;
		}
		ws.send(`${text} ${this.env.CODE}`);
	}
}

export default {
	fetch(request, env) {
		if (request.headers.get("Upgrade") === null) return new Response(env.CODE);
		return env.ROOM.getByName(new URL(request.url).pathname).fetch(request);
	},
};
