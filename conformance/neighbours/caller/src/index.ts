// The Worker that the scripts talk to: /worker/PROBE runs a probe, which calls
// ../callee and says what came of it. Its env is what `dormouse types` writes.

import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import { settled } from "../../../worker/src/show";

export class Mine extends DurableObject<Env> {
	myName(): string | undefined {
		return this.ctx.id.name;
	}
	/** Writes, and calls the other Worker's object. */
	async through(n: number): Promise<number> {
		await this.ctx.storage.put("n", n);
		return this.env.Theirs.getByName("through").add(n);
	}
	/** The other Worker's object calls back into this one. */
	callMeLater(): Promise<number> {
		return this.env.Theirs.getByName("back").callLater((n) => this.#add(n));
	}
	async #add(n: number): Promise<number> {
		await this.ctx.storage.put("added", n);
		return n + 2;
	}
	override fetch(request: Request): Promise<Response> {
		return this.env.Theirs.getByName("socket").fetch(request);
	}
}

export class Self extends WorkerEntrypoint<Env, Record<string, unknown>> {
	hello(): string {
		return `hello ${JSON.stringify(this.ctx.props)}`;
	}
	override fetch(request: Request): Response {
		return new Response(`self ${request.url}`);
	}
}

type Say = (label: string, f: () => unknown) => Promise<void>;
type Asked = { fetch(input: string, init?: RequestInit): Promise<Response> };

const upgrade = { headers: { upgrade: "websocket" } };

async function talk(to: Asked, url: string): Promise<string> {
	const response = await to.fetch(url, upgrade);
	const ws = response.webSocket;
	if (!ws) return `no socket: ${response.status} ${await response.text()}`;
	ws.accept();
	const heard: string[] = [];
	const closed = new Promise<void>((done) => {
		ws.addEventListener("message", (e) => {
			heard.push(`${e.data}`);
			ws.close(4001, "enough");
		});
		ws.addEventListener("close", (e) => {
			heard.push(`close ${e.code} ${e.reason}`);
			done();
		});
	});
	ws.send("hello");
	await closed;
	return `${response.status} ${heard.join(", ")}`;
}

async function whole(r: Promise<Response>, ...names: string[]): Promise<unknown> {
	const { status, statusText, headers, redirected, url } = await r;
	return [status, statusText, ...names.map((n) => headers.get(n)), redirected, url, await (await r).text()];
}

const any = (x: unknown): any => x;

const probes: Record<string, (say: Say, env: Env) => Promise<void>> = {
	async fetch(say, env) {
		await say("a service", () => whole(env.CALLEE.fetch("https://callee/path?q=1")));
		await say("a body", () => whole(env.CALLEE.fetch("https://callee/echo", { method: "PUT", body: "the body", headers: { "x-header": "there" } }), "x-method", "x-header", "content-type"));
		await say("a stream", () => whole(env.CALLEE.fetch(new Request("https://callee/echo", { method: "POST", body: new Blob(["a", "b", "c"]).stream() })), "x-method"));
		await say("a redirect is followed", () => whole(env.CALLEE.fetch("https://callee/redirect")));
		await say("a redirect by hand", () => whole(env.CALLEE.fetch("https://callee/redirect", { redirect: "manual" }), "location"));
		await say("a handler that throws", () => env.CALLEE.fetch("https://callee/throw"));
		await say("a handler without an answer", () => env.CALLEE.fetch("https://callee/nothing"));
		await say("no address", () => env.CALLEE.fetch("/path"));
		await say("an entrypoint", () => whole(env.ADMIN.fetch("https://callee/")));
		await say("handlers that are no class", () => whole(env.HANDLERS.fetch("https://callee/")));
		await say("aborted", () => env.CALLEE.fetch("https://callee/", { signal: AbortSignal.abort(new Error("not wanted")) }));
	},
	async looks(say, env) {
		await say("a service", () => Object.prototype.toString.call(env.CALLEE));
		await say("an entrypoint", () => Object.prototype.toString.call(env.ADMIN));
		await say("a namespace", () => Object.prototype.toString.call(env.Theirs));
		await say("a stub", () => Object.prototype.toString.call(env.Theirs.getByName("x")));
		await say("its class", () => env.CALLEE.constructor.name);
		await say("its keys", () => Object.keys(env.CALLEE));
		await say("a method", () => typeof any(env.CALLEE).whatever);
		await say("then", () => typeof any(env.CALLEE).then);
		await say("in JSON", () => JSON.stringify(env.CALLEE));
		await say("env", () => Object.keys(env).sort());
	},
	async rpc(say, env) {
		await say("props", () => env.ADMIN.props());
		await say("what it is bound to", () => env.ADMIN.names());
		await say("a value", () => any(env.ADMIN).echo({ a: [1, new Date(0), new Map([[1, 2]])], b: undefined }));
		await say("bytes", () => any(env.ADMIN).kind(new Uint8Array(3)));
		await say("an error as a value", () => any(env.ADMIN).echo(new RangeError("a value")));
		await say("a method that there is not", () => any(env.ADMIN).nothing());
		await say("a reserved name", () => any(env.ADMIN).alarm());
		await say("one that throws", () => env.ADMIN.throws());
		await say("its flags", () => any(env.ADMIN).throws().catch((e: any) => [e.remote, e.retryable, e.code, e.cause?.message, e.durableObjectReset]));
		await say("a function", () => any(env.ADMIN).calls((n: number) => n * 2, 20));
		await say("a function that throws", () => any(env.ADMIN).callsThatThrow(() => {
			throw new RangeError("the callback says no");
		}));
		await say("a function in the answer", async () => (await any(env.ADMIN).adder(5))(3));
		await say("a pipeline", () => any(env.ADMIN).basket(3).add(4).total());
		await say("a getter at its end", () => any(env.ADMIN).basket(3).add(4).size);
		await say("a stub that is kept", async () => {
			using basket = await any(env.ADMIN).basket(1);
			using more = await basket.add(2);
			return [await basket.total(), await more.total()];
		});
		await say("a stream out", async () => (await new Response(await any(env.ADMIN).stream(100_000)).text()).length);
		await say("a stream in", () => any(env.ADMIN).length(new Blob(["y".repeat(50_000)]).stream()));
		await say("an answer", async () => {
			const r: Response = await any(env.ADMIN).answer();
			return [r.status, r.headers.get("x-by"), await r.text()];
		});
		await say("a request", () => any(env.ADMIN).request(new Request("https://x/y", { method: "POST", body: "z" })));
		await say("handlers that are no class", () => any(env.HANDLERS).one("thing"));
		await say("with two arguments", () => any(env.HANDLERS).one("thing", "more"));
		await say("the default export", () => any(env.CALLEE).anything("x"));
		await say("not cloneable", () => any(env.ADMIN).echo(new WeakMap()));
	},
	async sockets(say, env) {
		await say("a Worker's", () => talk(env.CALLEE, "https://callee/"));
		await say("an object's, through the Worker", () => talk(env.CALLEE, "https://callee/object"));
		await say("an object's", () => talk(env.Theirs.getByName("socket"), "https://callee/"));
		await say("an object's, through one of ours", () => talk(env.Mine.getByName("between"), "https://callee/"));
		await say("asked of what has none", () => talk(env.ADMIN, "https://callee/"));
	},
	async objects(say, env) {
		const a = env.Theirs.getByName("a");
		await say("a method", () => a.add(2));
		await say("again", () => a.add(3));
		await say("a getter", () => a.instance);
		await say("its name", () => a.myName());
		await say("the same id", async () => (await a.myId()) === env.Theirs.idFromName("a").toString());
		await say("another namespace", () => env.Theirs.idFromName("a").equals(env.Mine.idFromName("a")));
		await say("an id of ours", () => env.Theirs.idFromString(env.Mine.idFromName("a").toString()));
		await say("fetch", () => whole(a.fetch("https://object/path"), "x-object"));
		await say("one that throws", () => a.throws());
		await say("its flags", () => any(a).throws().catch((e: any) => [e.remote, e.retryable, e.overloaded, e.durableObjectReset, e.code]));
		await say("one that resets", () => env.Theirs.getByName("reset").reset());
		await say("afterwards", () => env.Theirs.getByName("reset").add(1));
		await say("through an object of ours", () => env.Mine.getByName("through").through(5));
		await say("a callback into an object of ours", () => env.Mine.getByName("back").callMeLater());
		await say("in order", async () => (await Promise.all([1, 1, 1, 1].map((n) => env.Theirs.getByName("order").add(n)))).join());
		await say("a class without RPC", () => any(env.Plain.getByName("p")).hello());
		await say("asked with fetch", () => whole(env.Plain.getByName("p").fetch("https://x/")));
		await say("a new id", async () => [await env.Theirs.get(env.Theirs.newUniqueId()).add(1), await env.Theirs.get(env.Theirs.newUniqueId()).myName()]);
	},
	async self(say, env) {
		await say("a method", () => env.SELF.hello());
		await say("fetch", () => whole(env.SELF.fetch("https://self/x")));
		await say("a method that there is not", () => any(env.SELF).nothing());
	},
};

export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		const [, verb, name] = new URL(request.url).pathname.split("/");
		if (verb !== "worker") return new Response("ready");
		const lines: string[] = [];
		await probes[name](async (label, f) => void lines.push(`${label}: ${await settled(f)}`), env);
		return new Response(lines.join("\n"));
	},
};
