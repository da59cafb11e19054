// The Worker behind the scripts of KV, R2 and HTTP. /worker/PROBE?arg=… runs one.

import { kv } from "./kv";
import { Env, Probe } from "./probe";
import { r2 } from "./r2";
import { complaint } from "../../worker/src/show";

const probes = { ...kv, ...r2 };

export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		const url = new URL(request.url);
		const [, verb, name] = url.pathname.split("/").map(decodeURIComponent);
		if (verb === "worker") {
			const t = new Probe(env, request, url.searchParams.getAll("arg"));
			try {
				await probes[name](t);
			} catch (e) {
				t.lines.push(`the probe threw ${complaint(e)}`);
			}
			return new Response(t.lines.join("\n"));
		}
		return new Response("ready");
	},
};
