import { DurableObject } from "cloudflare:workers";
import { note, planned } from "./log";
import { Env, Probe, Probes, sleep } from "./probe";
import { alarms, ring } from "./probes/alarms";
import { attachments } from "./probes/attachments";
import { auto } from "./probes/auto";
import { gates } from "./probes/gates";
import { handlers as answers } from "./probes/http";
import { past } from "./probes/past";
import { sockets } from "./probes/sockets";
import { standard } from "./probes/standard";
import { state } from "./probes/state";
import { objects } from "./probes/websocket";
import { complaint, show } from "./show";

const probes: Probes = { ...alarms, ...attachments, ...auto, ...gates, ...objects, ...past, ...sockets, ...standard, ...state };

/**
 * The object of most scripts. It writes down whatever happens to it, and does
 * what a request ("do") or a message asks: the first word names a probe. A
 * message that starts with a dot is not written down.
 */
export class Room extends DurableObject<Env> {
	readonly #memory = new Map<string, unknown>();
	readonly #name: string;
	readonly #plan: ReadonlySet<string>;

	constructor(ctx: DurableObjectState, env: Env) {
		super(ctx, env);
		this.#name = ctx.id.name ?? "unnamed";
		this.#plan = new Set(planned(this.#name).split(" "));
		this.#memory.set("constructor ctx", ctx);
		note(this.#name, "constructed");
		this.#construct();
	}

	/** What a script has planned for the constructor. */
	#construct(): void {
		const { ctx } = this;
		const name = this.#name;
		if (this.#plan.has("constructor-throws")) throw new RangeError("the constructor threw");
		if (this.#plan.has("constructor-blocks")) {
			ctx.blockConcurrencyWhile(async () => {
				note(name, "the constructor waits");
				await sleep(200);
				note(name, "the constructor has waited");
			});
		}
		if (this.#plan.has("constructor-block-fails")) {
			ctx.blockConcurrencyWhile(async () => {
				throw new RangeError("the constructor's section threw");
			});
		}
		if (this.#plan.has("constructor-uses-sockets")) {
			const all = ctx.getWebSockets();
			note(name, `the constructor sees ${show(all.map((ws) => ctx.getTags(ws)))}`);
			for (const ws of all) {
				note(name, `the constructor reads ${show(ws.deserializeAttachment())}`);
				ws.send("from the constructor");
				ws.serializeAttachment("from the constructor");
			}
		}
		if (this.#plan.has("constructor-gets-alarm")) {
			ctx.blockConcurrencyWhile(async () => {
				const at = await ctx.storage.getAlarm();
				note(name, `the constructor's getAlarm is ${at === null ? "null" : "a time"}`);
			});
		}
		if (this.#plan.has("constructor-uses-storage")) {
			ctx.storage.kv.put("births", (ctx.storage.kv.get<number>("births") ?? 0) + 1);
			note(name, `births ${show(ctx.storage.kv.get("births"))}`);
		}
	}

	override async fetch(request: Request): Promise<Response> {
		const url = new URL(request.url);
		const [, verb, , , what] = url.pathname.split("/");
		if (verb === "ws") return this.#join(url);
		if (verb === "via") return answers[url.pathname.split("/")[2]](request, (p) => this.ctx.waitUntil(p)) as Response;
		const lines: string[] = [];
		await this.#run(what, url.searchParams.getAll("arg"), (line) => lines.push(line), undefined);
		return new Response(lines.join("\n"));
	}

	/** Accepts a socket: tags, and what else the query asks for. */
	#join(url: URL): Response {
		const query = url.searchParams;
		if (query.has("instead")) return this.#misjoin(query.get("instead") ?? "");
		const { 0: client, 1: server } = new WebSocketPair();
		if (query.has("attach")) server.serializeAttachment(query.get("attach"));
		this.ctx.acceptWebSocket(server, query.getAll("tag"));
		for (const hello of query.getAll("hello")) server.send(hello);
		const headers = new Headers();
		if (query.has("protocol")) headers.set("Sec-WebSocket-Protocol", query.get("protocol") ?? "");
		if (query.has("header")) headers.set("X-Header", query.get("header") ?? "");
		return new Response(null, { status: 101, webSocket: client, headers });
	}

	/** Answers an upgrade in some other way than one should. */
	#misjoin(how: string): Response {
		const { 0: client, 1: server } = new WebSocketPair();
		// Until garbage is collected nobody notices that an end has no owner any more.
		this.#memory.set("ends", [this.#memory.get("ends"), client, server]);
		const answer = (webSocket: WebSocket) => new Response(null, { status: 101, webSocket });
		switch (how) {
			case "hibernatable":
				this.ctx.acceptWebSocket(server);
				return answer(server);
			case "accepted":
				server.accept();
				return answer(server);
			case "outbound":
				return answer(new WebSocket("ws://127.0.0.1:1/"));
			case "twice":
				this.ctx.acceptWebSocket(server, ["twice"]);
				this.#memory.set("returned", this.#memory.get("returned") ?? client);
				return answer(this.#memory.get("returned") as WebSocket);
			case "nobody":
				return answer(client);
			case "426":
				return new Response("no sockets here", { status: 426 });
			case "200":
				return new Response("an ordinary answer");
			case "accept-later": {
				const res = answer(client);
				this.ctx.acceptWebSocket(server, ["later"]);
				return res;
			}
			case "standard":
				server.accept();
				server.addEventListener("message", (e) => server.send(`standard ${show(e.data)}`));
				let closed = false; // what comes behind a close depends on when TCP ends
				server.addEventListener("close", (e) => {
					closed = true;
					note(this.#name, `close event ${e.code} ${show(e.reason)} ${e.wasClean}, readyState ${server.readyState}`);
				});
				server.addEventListener("error", (e) => {
					if (!closed) note(this.#name, `error event ${show((e as ErrorEvent).message)}`);
				});
				return answer(client);
		}
		throw new Error(`no such way: ${how}`);
	}

	#run(what: string, args: string[], say: (line: string) => void, ws: WebSocket | undefined): unknown {
		if (!Object.hasOwn(probes, what)) {
			if (ws) return;
			throw new Error(`no probe ${what}`);
		}
		return probes[what](new Probe(this.ctx, this.env, args, say, this.#memory, ws));
	}

	/** The first tag, by which a script knows its sockets. */
	#tag(ws: WebSocket): string {
		return this.ctx.getTags(ws)[0] ?? "-";
	}

	override webSocketMessage(ws: WebSocket, message: string | ArrayBuffer): void | Promise<void> {
		if (typeof message !== "string") {
			note(this.#name, `message of ${this.#tag(ws)}: ${show(message)}`);
			return;
		}
		if (!message.startsWith(".")) note(this.#name, `message of ${this.#tag(ws)}: ${show(message)}`);
		const [what, ...args] = message.replace(/^\./, "").split(" ");
		return this.#run(what, args, (line) => note(this.#name, line), ws) as void | Promise<void>;
	}

	#state(ws: WebSocket): string {
		const listed = this.ctx.getWebSockets().includes(ws) ? "listed" : "not listed";
		return `readyState ${ws.readyState}, ${listed}, tags ${show(this.ctx.getTags(ws))}, attachment ${show(ws.deserializeAttachment())}`;
	}

	override async webSocketClose(ws: WebSocket, code: number, reason: string, wasClean: boolean): Promise<void> {
		note(this.#name, `close of ${this.#tag(ws)}: ${code} ${show(reason)} ${wasClean ? "clean" : "not clean"}, ${this.#state(ws)}`);
		const attempt = (what: string, f: () => void) => {
			try {
				f();
				note(this.#name, `in close, ${what}: readyState ${ws.readyState}`);
			} catch (e) {
				note(this.#name, `in close, ${what}: ${complaint(e)}`);
			}
		};
		if (this.#plan.has("close-sends")) attempt("send", () => ws.send("sent while closing"));
		if (this.#plan.has("close-answers")) attempt("close", () => ws.close(code === 1005 || code === 1006 ? 1000 : code, reason));
		if (this.#plan.has("close-throws")) throw new Error("the close handler threw");
		if (this.#plan.has("close-awaits")) {
			await sleep(1);
			note(this.#name, `in close, after an await: ${this.#state(ws)}`);
		}
	}

	override async webSocketError(ws: WebSocket, error: unknown): Promise<void> {
		note(this.#name, `error of ${this.#tag(ws)}: ${complaint(error)}, ${this.#state(ws)}`);
		for (const [what, f] of [["send", () => ws.send("x")], ["close", () => ws.close(1000)]] as const) {
			if (!this.#plan.has("error-uses")) break;
			try {
				f();
				note(this.#name, `in error, ${what}: readyState ${ws.readyState}`);
			} catch (e) {
				note(this.#name, `in error, ${what}: ${complaint(e)}`);
			}
		}
	}

	override alarm(info?: AlarmInvocationInfo): Promise<void> {
		return ring(this.ctx, this.#name, info);
	}

	// Called over RPC by the probes of the Worker.

	hello(name: string): string {
		return `hello ${name}`;
	}

	fail(): never {
		throw new RangeError("the method threw");
	}

	reset(reason: string): void {
		this.ctx.abort(reason);
	}

	/** Ends later than the calls behind it, unless they wait for it. */
	async slow(ms: number): Promise<string> {
		note(this.#name, `slow begins`);
		await sleep(ms);
		note(this.#name, `slow ends`);
		return "slow";
	}
}
