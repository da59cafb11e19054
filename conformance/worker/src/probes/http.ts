// What a client sees of answers. A handler runs in the Worker (/http/NAME) or, by
// way of it, in an object (/via/NAME): the same code, the same answers.

import { sleep, wrong } from "../probe";
import { show } from "../show";

type Handler = (request: Request, keep: (p: Promise<unknown>) => void) => unknown;

const text = (s: string): Uint8Array => new TextEncoder().encode(s);

/** What the types do not have. */
export const streamFrom = (from: Iterable<unknown>): ReadableStream => wrong(ReadableStream).from(from);

/** A body that gives these pieces, then ends or breaks. */
function pieces(all: string[], end?: Error): ReadableStream<Uint8Array> {
	let at = 0;
	return new ReadableStream({
		pull(c) {
			if (at < all.length) c.enqueue(text(all[at++]));
			else if (end) c.error(end);
			else c.close();
		},
	});
}

let counted = 0;

let remembered: Response | undefined;

/** By name, what has been heard of the end of an endless answer. */
const ended = new Map<string, Promise<unknown>>();

const named = (r: Request): string => new URL(r.url).searchParams.get("name") ?? "";

export const handlers: Record<string, Handler> = {
	text: () => new Response("héllo"),
	nothing: () => new Response(),
	empty: () => new Response(""),
	bytes: () => new Response(new Uint8Array([1, 2, 255])),
	json: () => Response.json({ a: 1 }),
	form: () => new Response(new URLSearchParams({ a: "1 2" })),
	blob: () => new Response(new Blob(["b"], { type: "x/y" })),
	status: (r) => new Response("body", { status: Number(new URL(r.url).searchParams.get("code")), statusText: new URL(r.url).searchParams.get("text") ?? undefined }),
	bare: (r) => new Response(null, { status: Number(new URL(r.url).searchParams.get("code")) }),
	headers: () =>
		new Response("h", {
			headers: [["X-Case", "Kept"], ["x-twice", "1"], ["x-twice", "2"], ["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"], ["x-empty", ""], ["Content-Type", "text/plain"]],
		}),
	latin: () => new Response("h", { headers: { "x-latin": "é", "x-wide": "ż" } }),
	length: () => new Response("four", { headers: { "content-length": "2" } }),
	framing: () => new Response("x", { headers: { connection: "close", "transfer-encoding": "chunked", "keep-alive": "timeout=5" } }),
	date: () => new Response("x", { headers: { date: "Thu, 01 Jan 1970 00:00:00 GMT", server: "mine" } }),
	redirect: () => Response.redirect("http://example.com/there?a=b c", 307),
	relative: () => new Response(null, { status: 302, headers: { location: "../up" } }),
	stream: () => new Response(pieces(["one ", "two ", "three"])),
	fixed: () => {
		const { readable, writable } = new FixedLengthStream(5);
		const w = writable.getWriter();
		void w.write(text("12345")).then(() => w.close());
		return new Response(readable);
	},
	short: (_r, keep) => {
		const { readable, writable } = new FixedLengthStream(5);
		const w = writable.getWriter();
		keep(w.write(text("123")).then(() => w.close()).catch(() => {}));
		return new Response(readable);
	},
	identity: (_r, keep) => {
		const { readable, writable } = new IdentityTransformStream();
		const w = writable.getWriter();
		keep(w.write(text("through")).then(() => w.close()));
		return new Response(readable);
	},
	breaks: () => new Response(pieces(["one "], new Error("broke"))),
	gzip: () => new Response("zip me", { headers: { "content-encoding": "gzip" } }),
	manual: () => new Response("as it is", { encodeBody: "manual", headers: { "content-encoding": "gzip" } }),
	throws: () => {
		throw new TypeError("thrown");
	},
	rejects: async () => {
		await sleep(1);
		throw new RangeError("rejected");
	},
	undefined: () => undefined,
	string: () => "a string",
	object: () => ({ status: 200 }),
	used: async () => {
		const r = new Response("used");
		await r.text();
		return r;
	},
	locked: () => {
		const r = new Response("locked");
		wrong(r.body!.getReader());
		return r;
	},
	twice: () => (remembered ??= new Response("only once")),
	clone: () => new Response("cloned").clone(),
	error: () => Response.error(),
	request: async (r) => new Response(`${r.method} ${new URL(r.url).pathname} ${new URL(r.url).search} ${show(r.redirect)} ${show(await r.text())}`),
	asked: (r) => new Response([...r.headers].filter(([k]) => k.startsWith("x-") || k.startsWith("content-") || k === "accept-encoding" || k === "cookie").map(([k, v]) => `${k}: ${v}`).join("\n")),
	url: (r) => new Response(r.url.replace(/:\d+/, ":PORT")),
	pass: (r) => new Response(r.body, { headers: { "x-length": `${r.headers.get("content-length")}` } }),
	unread: () => new Response("not read"),
	cf: (r) => new Response(show(wrong(r).cf)),
	waits: async () => {
		await sleep(5000);
		return new Response("waited");
	},
	endless: (r) => {
		const { promise, resolve } = Promise.withResolvers<unknown>();
		ended.set(named(r), promise);
		return new Response(new ReadableStream({
			async pull(c) {
				await sleep(5);
				c.enqueue(text("more"));
			},
			cancel: (reason) => resolve(reason),
		}));
	},
	over: async (r) => new Response(`cancelled: ${(await ended.get(named(r))) !== undefined}`),
	count: (r) => new Response(`${new URL(r.url).searchParams.get("n")} is ${++counted}`),
	cancel: async (r) => {
		await r.body!.cancel("enough");
		return new Response("cancelled");
	},
	immutable: (r) => {
		try {
			r.headers.set("a", "b");
			return new Response("changed");
		} catch (e) {
			return new Response(`${e}`);
		}
	},
	multipart: async (r) => {
		const form = await r.formData();
		const all: string[] = [];
		for (const [name, value] of form as unknown as Iterable<[string, File | string]>) {
			all.push(typeof value === "string" ? `${name}=${show(value)}` : `${name}: ${value.name} ${value.type} ${show(await value.text())}`);
		}
		return new Response(all.join("\n"));
	},
};
