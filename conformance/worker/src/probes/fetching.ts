// fetch: to a server outside ("$origin" in a script), and to an object.

import { wrong } from "../probe";
import { labelled, show } from "../show";
import type { Front } from "./front";
import { streamFrom } from "./http";

const text = (s: string): Uint8Array => new TextEncoder().encode(s);

/** Text with what differs from run to run taken out. */
const plain = (s: string) => s.replace(/127\.0\.0\.1:\d+/g, "ORIGIN");

async function told(p: Response | Promise<Response>): Promise<unknown> {
	const r = await p;
	return [r.status, r.statusText, plain(r.url), r.redirected, plain(await r.text())];
}

/** What the origin heard: its JSON. */
async function heard(p: Promise<Response>, ...names: string[]): Promise<unknown> {
	const { method, path, headers, body } = (await (await p).json()) as { method: string; path: string; headers: Record<string, string>; body: string };
	return [method, path, body.length > 80 ? body.length : body, ...names.map((n) => plain(headers[n] ?? "(none)"))];
}

/** An error without the machine's part of it: what the system said stays out. */
const failure = (f: () => unknown) => async () => {
	try {
		return await f();
	} catch (e) {
		const { message, retryable } = wrong(e);
		const said = /kj\/|internal error|:\d+/.test(message) ? "" : plain(message).slice(0, 90);
		return `${(e as Error).constructor.name} ${said}${retryable ? " {retryable}" : ""}`;
	}
};

export const fetching: Record<string, (t: Front) => unknown> = {
	async "http-fetch"(t) {
		const o = labelled(t);
		const at = `http://${t.args[0]}`;
		await o("a request", () => heard(fetch(`${at}/echo?q=1#f`), "host", "user-agent", "accept", "accept-encoding", "accept-language", "content-length", "content-type", "sec-fetch-mode"));
		await o("a post", () => heard(fetch(`${at}/echo`, { method: "POST", body: "text" }), "content-length", "content-type", "transfer-encoding"));
		await o("bytes", () => heard(fetch(`${at}/echo`, { method: "PUT", body: text("bytes") }), "content-length", "content-type"));
		await o("a stream", () => heard(fetch(`${at}/echo`, { method: "POST", body: streamFrom([text("one "), text("two")]) }), "content-length", "content-type", "transfer-encoding"));
		await o("a stream of known length", () => {
			const { readable, writable } = new FixedLengthStream(3);
			const w = writable.getWriter();
			void w.write(text("123")).then(() => w.close());
			return heard(fetch(`${at}/echo`, { method: "POST", body: readable }), "content-length", "transfer-encoding");
		});
		await o("a post without a body", () => heard(fetch(`${at}/echo`, { method: "POST" }), "content-length", "transfer-encoding"));
		await o("a form", () => heard(fetch(`${at}/echo`, { method: "POST", body: new URLSearchParams({ a: "b c" }) }), "content-type"));
		await o("DELETE with a body", () => heard(fetch(`${at}/echo`, { method: "DELETE", body: "x" }), "content-length"));
		for (const method of ["PATCH", "OPTIONS", "QUERY", "PROPFIND"]) await o(method, () => heard(fetch(`${at}/echo`, { method })));
		await o("headers", () => heard(fetch(`${at}/echo`, { headers: [["X-A", "1"], ["x-a", "2"], ["Cookie", "a=b"], ["User-Agent", "mine"], ["accept", "a/b"], ["referer", "http://r/"], ["origin", "http://o/"]] }), "x-a", "cookie", "user-agent", "accept", "referer", "origin"));
		await o("a host that is given", () => heard(fetch(`${at}/echo`, { headers: { host: "other.example" } }), "host"));
		await o("what belongs to the connection", () => heard(fetch(`${at}/echo`, { headers: { "keep-alive": "x", te: "trailers", "x-b": "1" } }), "keep-alive", "te", "x-b"));
		await o("a length that is given", () => heard(fetch(`${at}/echo`, { method: "POST", body: "four", headers: { "content-length": "4" } }), "content-length"));
		await o("letters beyond ASCII", () => heard(fetch(`${at}/echo?ü`, { headers: { "x-c": "é" } })));
		await o("a user and a password", failure(() => heard(fetch(`http://u:p@${t.args[0]}/echo`), "authorization")));
		for (const status of [200, 204, 304, 404, 500, 599]) await o(`status ${status}`, () => told(fetch(`${at}/status/${status}`)));
		await o("a status text", () => told(fetch(`${at}/reason`)));
		await o("HEAD", async () => {
			const r = await fetch(`${at}/echo`, { method: "HEAD" });
			return [r.status, r.headers.get("content-length") !== null, await r.text()];
		});
		await o("cookies that are set", async () => (await fetch(`${at}/cookies`)).headers.getSetCookie());
		await o("headers that come", async () => {
			const { headers } = await fetch(`${at}/headers`);
			return [headers.get("x-twice"), headers.get("x-latin"), headers.get("x-empty")];
		});
		await o("they cannot be changed", async () => (await fetch(`${at}/status/200`)).headers.set("a", "b"));
		for (const code of [301, 302, 303, 307, 308]) {
			await o(`redirect ${code}`, () => told(fetch(`${at}/redirect/${code}?to=/status/200`)));
			await o(`redirect ${code} of a post`, () => heard(fetch(`${at}/redirect/${code}?to=/echo`, { method: "POST", body: "posted", headers: { "x-d": "1" } }), "content-type", "content-length", "x-d"));
			await o(`redirect ${code}, manual`, async () => {
				const r = await fetch(`${at}/redirect/${code}?to=/echo`, { redirect: "manual" });
				return [r.status, r.headers.get("location"), r.redirected, plain(r.url), r.type];
			});
		}
		await o("redirect 303 of a PUT", () => heard(fetch(`${at}/redirect/303?to=/echo`, { method: "PUT", body: "put" })));
		await o("redirect of a stream", failure(() => heard(fetch(`${at}/redirect/307?to=/echo`, { method: "POST", body: streamFrom([text("streamed")]) }))));
		await o("redirect 302 of a stream", failure(() => heard(fetch(`${at}/redirect/302?to=/echo`, { method: "POST", body: streamFrom([text("streamed")]) }))));
		await o("redirect without a place", () => told(fetch(`${at}/status/302`)));
		await o("redirect round and round", failure(() => fetch(`${at}/round`)));
		await o("19 redirects", () => told(fetch(`${at}/hops/19`)));
		await o("21 redirects", failure(() => told(fetch(`${at}/hops/21`))));
		await o("redirect to no URL", failure(() => fetch(`${at}/redirect/302?to=http://`)));
		await o("redirect to another scheme", failure(() => fetch(`${at}/redirect/302?to=ftp://x/`)));
		await o("redirect with a fragment", async () => plain((await fetch(`${at}/redirect/302?to=/echo%23there`)).url));
		for (const encoding of ["gzip", "br", "deflate", "unknown"]) {
			await o(encoding, async () => {
				const r = await fetch(`${at}/encoded/${encoding}`);
				return [r.headers.get("content-encoding"), r.headers.get("content-length") !== null, (await r.arrayBuffer()).byteLength];
			});
		}
		await o("gzip that is none", failure(async () => (await fetch(`${at}/encoded/broken`)).text()));
		await o("gzip, untouched, passed on", async () => {
			const r = await fetch(`${at}/encoded/gzip`);
			const again = new Response(r.body, r);
			return [again.headers.get("content-encoding"), await again.text()];
		});
		await o("cut in the middle", failure(async () => (await fetch(`${at}/cut`)).text()));
		await o("cut in the middle of a stream", failure(async () => (await fetch(`${at}/cut-stream`)).text()));
		await o("hung up on", failure(() => fetch(`${at}/hang-up`)));
		await o("nobody there", failure(() => fetch("http://127.0.0.1:9/")));
		await o("no such name", failure(() => fetch("http://no.such.name.invalid/")));
		await o("aborted before", () => fetch(`${at}/echo`, { signal: AbortSignal.abort() }));
		await o("aborted with a reason", () => fetch(`${at}/echo`, { signal: AbortSignal.abort(new RangeError("mine")) }));
		await o("aborted while it waits", async () => {
			const c = new AbortController();
			setTimeout(() => c.abort(), 20);
			return fetch(`${at}/hangs`, { signal: c.signal });
		});
		await o("timed out", () => fetch(`${at}/hangs`, { signal: AbortSignal.timeout(20) }));
		await o("any of two", () => fetch(`${at}/hangs`, { signal: AbortSignal.any([AbortSignal.timeout(20), new AbortController().signal]) }));
		await o("aborted while it is read", async () => {
			const c = new AbortController();
			const r = await fetch(`${at}/drip`, { signal: c.signal });
			const reader = r.body!.getReader();
			await reader.read();
			c.abort(new RangeError("enough"));
			for (;;) if ((await reader.read()).done) return "ended";
		});
		await o("the server hears of a cancel", async () => {
			const r = await fetch(`${at}/drip?name=cancelled`);
			const reader = r.body!.getReader();
			await reader.read();
			await reader.cancel();
			return (await fetch(`${at}/left?name=cancelled`)).text();
		});
		await o("a drip", async () => {
			const reader = (await fetch(`${at}/drip?times=3`)).body!.getReader();
			let n = 0;
			for (;;) {
				const { done, value } = await reader.read();
				if (done) return n;
				n += value.byteLength;
			}
		});
		await o("a clone of an answer", async () => {
			const r = await fetch(`${at}/reason`);
			const c = r.clone();
			return [await r.text(), await c.text(), c.statusText, plain(c.url)];
		});
		await o("a megabyte", async () => (await (await fetch(`${at}/large`)).arrayBuffer()).byteLength);
		await o("a megabyte there", () => heard(fetch(`${at}/echo`, { method: "POST", body: "x".repeat(1 << 20) })));
		await o("an answer before the question's end", async () => {
			let given = 0;
			const body = new ReadableStream({
				async pull(c) {
					if (given++ > 3) return c.close();
					c.enqueue(text("piece"));
					await scheduler.wait(1);
				},
			});
			return (await fetch(`${at}/early`, { method: "POST", body })).text();
		});
		await o("a body that breaks", failure(() => fetch(`${at}/echo`, { method: "POST", body: new ReadableStream({ start: (c) => c.error(new RangeError("broken")) }) })));
		await o("a used body", async () => {
			const r = new Request(`${at}/echo`, { method: "POST", body: "x" });
			await r.text();
			return fetch(r);
		});
		await o("the body is used at once", async () => {
			const r = new Request(`${at}/echo`, { method: "POST", body: "x" });
			const p = fetch(r);
			const used = r.bodyUsed;
			await (await p).text();
			return used;
		});
		await o("without arguments", () => wrong(fetch)());
		await o("an empty URL", () => fetch(""));
		await o("another scheme", () => fetch("gopher://x/"));
		await o("data", async () => {
			const r = await fetch("data:text/plain;charset=utf-8;base64,aGk=");
			return [r.status, r.headers.get("content-type"), await r.text()];
		});
		await o("blob", failure(() => fetch("blob:x")));
	},

	async "http-stub"(t) {
		const o = labelled(t);
		const stub = t.env.Room.getByName(t.args[0]);
		const via = (name: string, init?: RequestInit) => stub.fetch(`http://object/via/${name}`, init);
		for (const name of ["text", "nothing", "json", "form", "stream", "fixed", "identity", "gzip", "manual", "headers"]) {
			await o(name, async () => {
				const r = await via(name);
				return [r.status, r.statusText, r.url, r.redirected, show([...r.headers].filter(([k]) => k !== "date")), await r.text()];
			});
		}
		for (const name of ["throws", "rejects", "undefined", "string", "object", "used", "locked", "error"]) await o(name, async () => (await via(name)).status);
		await o("breaks", async () => (await via("breaks")).text());
		await o("short", async () => (await via("short")).text());
		await o("status 404", async () => told(via("status?code=404&text=Nowhere")));
		await o("status 500", async () => told(via("status?code=500")));
		await o("status 204", async () => told(via("bare?code=204")));
		await o("a redirect is not followed", async () => {
			const r = await via("relative");
			return [r.status, r.headers.get("location"), r.redirected];
		});
		await o("a redirect that is asked to be followed", failure(async () => {
			const r = await via("relative", { redirect: "follow" });
			return [r.status, r.headers.get("location"), r.redirected];
		}));
		await o("the object's request", async () => (await via("request?a=b", { method: "POST", body: "body" })).text());
		await o("its redirect", async () => (await via("request", { redirect: "manual" })).text());
		await o("its headers", async () => (await via("asked", { headers: [["X-A", "1"], ["x-a", "2"], ["Cookie", "c"]] })).text());
		await o("letters beyond ASCII", async () => (await via("asked", { headers: { "x-a": "é", "x-b": "ż" } })).text());
		await o("they come back", async () => [...(await via("latin")).headers].filter(([k]) => k.startsWith("x-")));
		await o("its URL", async () => (await via("url?x=%20 y#z")).text());
		await o("no path", () => stub.fetch("http://object").then((r) => r.status));
		await o("not a URL", () => stub.fetch("via/text"));
		await o("an upgrade that nobody asked for", async () => (await stub.fetch("http://object/ws/x/y")).status);
		await o("headers that cannot be changed there", async () => (await via("immutable")).text());
		await o("headers that come cannot be changed", async () => (await via("text")).headers.set("a", "b"));
		await o("a stream there and back", async () => (await via("pass", { method: "POST", body: streamFrom([text("there "), text("and back")]) })).text());
		await o("the length of a stream", async () => {
			const r = await via("pass", { method: "POST", body: streamFrom([text("x")]) });
			await r.text();
			return r.headers.get("x-length");
		});
		await o("the length of text", async () => {
			const r = await via("pass", { method: "POST", body: "four" });
			return [r.headers.get("x-length"), r.headers.get("content-length"), await r.text()];
		});
		await o("a megabyte there and back", async () => (await (await via("pass", { method: "POST", body: "x".repeat(1 << 20) })).arrayBuffer()).byteLength);
		await o("a body that nobody reads", async () => (await via("unread", { method: "POST", body: "x".repeat(100_000) })).text());
		await o("a body that is cancelled", async () => {
			let reason: unknown = "(nothing)";
			const body = new ReadableStream({ pull: (c) => c.enqueue(new Uint8Array(1000)), cancel: (r) => void (reason = r) });
			const r = await (await via("cancel", { method: "POST", body })).text();
			await scheduler.wait(50);
			return [r, `${reason}`.length > 0];
		});
		await o("a body that breaks", async () => (await via("request", { method: "POST", body: new ReadableStream({ start: (c) => c.error(new RangeError("broken")) }) })).text());
		await o("aborted before", () => via("text", { signal: AbortSignal.abort() }));
		await o("aborted with a reason", () => via("text", { signal: AbortSignal.abort(new RangeError("mine")) }));
		await o("aborted while it waits", () => {
			const c = new AbortController();
			setTimeout(() => c.abort(), 20);
			return via("waits", { signal: c.signal });
		});
		await o("timed out", () => via("waits", { signal: AbortSignal.timeout(20) }));
		await o("an answer that is cancelled", async () => {
			const r = await via("endless?name=cancelled");
			const reader = r.body!.getReader();
			await reader.read();
			await reader.cancel(new RangeError("enough"));
			return (await via("over?name=cancelled")).text();
		});
		await o("a multipart form", async () => {
			const form = new FormData();
			form.append("a", "1");
			form.append("f", new File(["content"], "n.txt", { type: "t/x" }));
			return (await via("multipart", { method: "POST", body: form })).text();
		});
		await o("a Request as it is", async () => (await stub.fetch(new Request("http://object/via/request", { method: "PUT", body: "put" }))).text());
		await o("a Request as init", async () => (await stub.fetch("http://object/via/request", new Request("http://other/", { method: "PUT", body: "put" }))).text());
		await o("cf goes along", async () => (await via("cf", wrong({ cf: { a: 1 } }))).text());
		await o("no cf", async () => (await via("cf")).text());
		await o("in order", async () => {
			const all = await Promise.all([1, 2, 3].map((n) => via(`count?n=${n}`).then((r) => r.text())));
			return all;
		});
	},

	async "http-caches"(t) {
		const o = labelled(t);
		const at = "http://cached/";
		await o("the names", () => [typeof caches, typeof Cache, typeof CacheStorage, Object.prototype.toString.call(caches), Object.getOwnPropertyNames(Cache.prototype).sort()]);
		await o("default is one", () => caches.default === caches.default);
		await o("open", async () => Object.prototype.toString.call(await caches.open("mine")));
		await o("match", failure(() => caches.default.match(at)));
		await o("put of a POST", failure(() => caches.default.put(new Request(at, { method: "POST" }), new Response("x"))));
		await o("put of a 206", failure(() => caches.default.put(at, new Response("x", { status: 206 }))));
		await o("put of what varies by all", failure(() => caches.default.put(at, new Response("x", { headers: { vary: "*" } }))));
		await o("put of a used one", failure(async () => {
			const r = new Response("x");
			await r.text();
			return caches.default.put(at, r);
		}));
		await o("match without arguments", failure(() => wrong(caches.default).match()));
		await o("delete of a POST", failure(() => caches.default.delete(new Request(at, { method: "POST" }))));
	},
};
