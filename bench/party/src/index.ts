// The room of an application on partyserver: who speaks is heard by all. The
// same file runs on both runtimes.

import { type Connection, routePartykitRequest, Server } from "partyserver";

export class Room extends Server {
	static override options = { hibernate: true };

	override onMessage(_: Connection, message: string | ArrayBuffer): void {
		this.broadcast(message as string);
	}
}

export default {
	async fetch(request: Request, env: Record<string, unknown>): Promise<Response> {
		if (new URL(request.url).pathname === "/ready") return new Response("ready");
		return (await routePartykitRequest(request, env)) ?? new Response("no such party", { status: 404 });
	},
};
