// The Worker behind the conformance scripts. Paths:
//
//	/do/CLASS/OBJECT/PROBE?arg=…  runs a probe in the object, answers its lines
//	/ws/CLASS/OBJECT?tag=…        joins the object
//	/worker/PROBE?arg=…           runs a probe here
//	/log/OBJECT?from=N            what the object has written down, not waking it
//	/plan/OBJECT/WORDS            what its constructor and handlers shall do
//	/http/NAME                    answers as that handler does
//	/via/NAME?room=OBJECT         the same, in the object
//	/proxy?to=URL                 passes the request on to an outside origin

import { noted, plan } from "./log";
import { Env } from "./probe";
import { front } from "./probes/front";
import { handlers as answers } from "./probes/http";
import { complaint } from "./show";

export { Mute, NoFetch, Plain } from "./others";
export { Entry, handlers, PlainEntry, Remote } from "./remote";
export { Room } from "./room";

export default {
	async fetch(request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
		const url = new URL(request.url);
		const [, verb, first, second] = url.pathname.split("/").map(decodeURIComponent);
		switch (verb) {
			case "":
			case "ready":
				return new Response("ready");
			case "log":
				return new Response(noted(first, Number(url.searchParams.get("from"))).join("\n"));
			case "plan":
				plan(first, second);
				return new Response("");
			case "proxy":
				return fetch(new Request(url.searchParams.get("to") ?? "", request));
			case "http":
				return answers[first](request, (p) => ctx.waitUntil(p)) as Response;
			case "via":
				return env.Room.getByName(url.searchParams.get("room") ?? "answers").fetch(request);
			case "worker": {
				const lines: string[] = [];
				try {
					await front[first]({ env, args: url.searchParams.getAll("arg"), say: (line) => lines.push(line) });
				} catch (e) {
					lines.push(`the probe threw ${complaint(e)}`);
				}
				return new Response(lines.join("\n"));
			}
			case "do":
			case "ws":
				try {
					return await env[first as keyof Env].getByName(second).fetch(request);
				} catch (e) {
					return new Response(`the caller got ${complaint(e)}`, { status: 500 });
				}
			default:
				return new Response("no such path", { status: 404 });
		}
	},
};
