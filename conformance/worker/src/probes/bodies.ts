// Request, Response, Headers and streams, as the Worker's own code sees them.

import { wrong } from "../probe";
import { labelled, settled } from "../show";
import type { Front } from "./front";
import { streamFrom } from "./http";

const text = (s: string): Uint8Array => new TextEncoder().encode(s);

async function read(stream: ReadableStream): Promise<string> {
	return new Response(stream).text();
}

/** What comes in, one entry a chunk. */
async function chunks(stream: ReadableStream): Promise<unknown[]> {
	const all: unknown[] = [];
	const reader = stream.getReader();
	for (;;) {
		const { done, value } = await reader.read();
		if (done) return all;
		all.push(value);
	}
}

export const bodies: Record<string, (t: Front) => unknown> = {
	async "http-bodies"(t) {
		const o = labelled(t);
		await o("json of nothing", () => new Response().json());
		await o("text of nothing", () => new Response(null).text());
		await o("arrayBuffer of nothing", () => new Response(null).arrayBuffer());
		await o("a byte order mark", () => new Response(new Uint8Array([0xef, 0xbb, 0xbf, 0x61])).text());
		await o("json with a byte order mark", () => new Response(new Uint8Array([0xef, 0xbb, 0xbf, 0x31])).json());
		await o("bad UTF-8", () => new Response(new Uint8Array([0x61, 0xff, 0x62])).text());
		await o("bytes", () => new Response("ab").bytes());
		await o("a blob's type", async () => (await new Response("x", { headers: { "content-type": "A/B; c=d" } }).blob()).type);
		await o("a blob's type by default", async () => (await new Response("x").blob()).type);
		await o("a blob of bytes", async () => (await new Response(new Uint8Array(2)).blob()).type);
		await o("used by text", async () => {
			const r = new Response("x");
			const p = r.text();
			return [r.bodyUsed, await p, r.bodyUsed];
		});
		await o("nothing is not used up", async () => {
			const r = new Response(null);
			await r.text();
			return [r.bodyUsed, await r.text()];
		});
		await o("the same body object", () => {
			const r = new Response("x");
			return r.body === r.body;
		});
		await o("cancelled", async () => {
			const r = new Response("x");
			await r.body!.cancel();
			return [r.bodyUsed, await settled(() => r.text())];
		});
		await o("a reader that is released", async () => {
			const r = new Response("x");
			r.body!.getReader().releaseLock();
			return [r.bodyUsed, await r.text()];
		});
		await o("read in part", async () => {
			const r = new Response("xyz");
			const reader = r.body!.getReader({ mode: "byob" });
			await reader.read(new Uint8Array(1));
			reader.releaseLock();
			return [r.bodyUsed, await settled(() => r.text())];
		});
		await o("tee", async () => {
			const [a, b] = new Response("both").body!.tee();
			return [await read(a), await read(b)];
		});
		await o("a clone is as long", async () => {
			const r = new Response("abc");
			const c = r.clone();
			return [await r.text(), await c.text(), c.headers.get("content-type")];
		});
		await o("a clone of a clone", async () => {
			const r = new Request("http://x/", { method: "POST", body: "abc" });
			const c = r.clone().clone();
			return [await c.text(), await r.text()];
		});
		await o("a clone's headers are its own", () => {
			const r = new Response("x", { headers: { a: "1" } });
			const c = r.clone();
			c.headers.set("a", "2");
			return r.headers.get("a");
		});
		await o("urlencoded", async () => [...wrong(await new Response("a=1&b=%C3%A9&a=+", { headers: { "content-type": "application/x-www-form-urlencoded" } }).formData())]);
		await o("no form", () => new Response("x").formData());
		await o("no type", () => new Response(new Uint8Array(1)).formData());
		await o("a form without a boundary", () => new Response("x", { headers: { "content-type": "multipart/form-data" } }).formData());
		await o("a broken form", () => new Response("--b\r\nnonsense", { headers: { "content-type": "multipart/form-data; boundary=b" } }).formData());
		await o("a form and back", async () => {
			const form = new FormData();
			form.append('a"\r\n', "1\n2");
			form.append("f", new File(["content"], 'n"ä.txt', { type: "t/x" }));
			form.append("g", new Blob(["b"]));
			const back = await new Response(form).formData();
			const all: unknown[] = [];
			for (const [k, v] of wrong(back)) all.push(typeof v === "string" ? [k, v] : [k, v.name, v.type, await v.text()]);
			return all;
		});
		await o("a stream of text", () => new Response(new ReadableStream({ start: (c) => (wrong(c).enqueue("text"), c.close()) })).text());
		await o("a stream of objects", () => new Response(new ReadableStream({ start: (c) => (wrong(c).enqueue({}), c.close()) })).text());
		await o("a stream of views", () => new Response(new ReadableStream({ start: (c) => (c.enqueue(new DataView(text("view").buffer)), c.close()) })).text());
		await o("a stream that breaks", () => new Response(new ReadableStream({ start: (c) => c.error(new RangeError("broken")) })).text());
		await o("a locked stream", () => {
			const s = new Response("x").body!;
			s.getReader();
			return new Response(s);
		});
		await o("a generator", () => new Response(wrong((function* () {
			yield text("a");
			yield text("b");
		})())).text());
		await o("a shared view", async () => {
			const bytes = text("before");
			const r = new Response(bytes);
			bytes.fill(120);
			return r.text();
		});
		await o("a part of a buffer", () => new Response(text("abcdef").subarray(2, 4)).text());
		await o("a detached buffer", () => {
			const { buffer } = new Uint8Array(4);
			structuredClone(buffer, { transfer: [buffer] });
			return new Response(buffer).arrayBuffer();
		});
		await o("content-length is not set", () => new Response("abc").headers.get("content-length"));
	},

	async "http-messages"(t) {
		const o = labelled(t);
		const url = "http://x/";
		await o("a request's defaults", () => {
			const r = wrong(new Request(url));
			return [r.method, r.url, r.redirect, r.cf, r.fetcher, r.keepalive, r.integrity, r.cache, r.bodyUsed, r.body];
		});
		await o("what it has", () => Object.getOwnPropertyNames(Request.prototype).sort());
		await o("what a response has", () => Object.getOwnPropertyNames(Response.prototype).sort());
		await o("what Headers have", () => Object.getOwnPropertyNames(Headers.prototype).sort());
		await o("static", () => Object.getOwnPropertyNames(Response).sort());
		await o("a user and a password", () => new Request("http://u:p@x/").url);
		await o("a port", () => new Request("http://x:8080/a/../b").url);
		await o("mode and credentials", () => {
			const r = wrong(new Request(url, wrong({ mode: "cors", credentials: "include", referrer: "x" })));
			return [r.mode, r.credentials, r.referrer];
		});
		for (const cache of ["no-store", "no-cache", "reload", "default", "nonsense"]) await o(`cache ${cache}`, () => new Request(url, wrong({ cache })).cache);
		await o("redirect follow", () => new Request(url, { redirect: "follow" }).redirect);
		await o("a signal that is none", () => new Request(url, wrong({ signal: {} })));
		await o("a null signal", () => wrong(new Request(url, wrong({ signal: null }))).signal?.aborted);
		await o("a null body", () => new Request(url, { method: "POST", body: null }).body);
		await o("a body with DELETE", () => new Request(url, { method: "DELETE", body: "x" }).text());
		await o("an empty body with GET", () => new Request(url, { body: "" }));
		await o("the method of a copy", () => new Request(new Request(url, { method: "PUT" })).method);
		await o("another method", () => new Request(new Request(url, { method: "PUT", body: "x" }), { method: "POST" }).text());
		await o("GET of one with a body", () => new Request(new Request(url, { method: "PUT", body: "x" }), { method: "GET" }));
		await o("a copy takes the body", async () => {
			const a = new Request(url, { method: "PUT", body: "x" });
			const b = new Request(a);
			return [a.bodyUsed, await b.text()];
		});
		await o("a copy with another body leaves it", async () => {
			const a = new Request(url, { method: "PUT", body: "x" });
			const b = new Request(a, { body: "y" });
			return [a.bodyUsed, await a.text(), await b.text()];
		});
		await o("headers of a copy", () => [...new Request(new Request(url, { headers: { a: "1" } }), { headers: { b: "2" } }).headers]);
		await o("content-type of a form", () => new Request(url, { method: "POST", body: new URLSearchParams("a=1") }).headers.get("content-type"));
		await o("content-type that is given", () => new Request(url, { method: "POST", body: "x", headers: { "Content-Type": "a/b" } }).headers.get("content-type"));
		await o("a status text", () => new Response("", { status: 404, statusText: "Gone away" }).statusText);
		await o("no status text", () => new Response("", { status: 404 }).statusText);
		await o("a bad status text", () => new Response("", { statusText: "a\nb" }));
		for (const status of [100, 101, 199, 200, 204, 205, 304, 599, 600, 200.5, "200", null, -1]) await o(`status ${status}`, () => new Response(null, { status: wrong(status) }).status);
		for (const status of [101, 204, 205, 304]) await o(`a body with ${status}`, () => new Response("x", { status }));
		await o("ok", () => [199 + 1, 299, 300].map((status) => new Response(null, { status }).ok));
		await o("json of a function", () => Response.json(() => 1));
		await o("json of a bigint", () => Response.json(wrong(1n)));
		await o("json with a type", () => Response.json(1, { headers: { "content-type": "a/b" } }).headers.get("content-type"));
		await o("json of 204", () => Response.json(null, { status: 204 }));
		for (const url of ["http://a/b c", "/there", "", "mailto:a@b", "not a url"]) await o(`redirect to ${url}`, () => Response.redirect(url).headers.get("location"));
		for (const code of [300, 301, 303, 304, 308]) await o(`redirect ${code}`, () => Response.redirect("http://a/", code).status);
		await o("redirect without arguments", () => wrong(Response).redirect());
		await o("a response of a response", async () => {
			const a = new Response("x", { status: 201, statusText: "S", headers: { a: "1" } });
			const b = new Response(a.body, a);
			return [b.status, b.statusText, [...b.headers], await b.text()];
		});
		await o("an init that is a number", () => new Response("x", wrong(5)));
		await o("bad names", () => ["", " ", "a b", "a:", "é", "a\n"].map((n) => {
			try {
				new Headers([[n, "x"]]);
				return "taken";
			} catch (e) {
				return `${(e as Error).name}`;
			}
		}));
		await o("a bad name's message", () => new Headers([["a b", "x"]]));
		await o("a bad value's message", () => new Headers([["a", "x\0y"]]));
		await o("an empty name to get", () => new Headers().get(""));
		await o("set without a value", () => wrong(new Headers()).set("a"));
		await o("append in order", () => {
			const h = new Headers({ B: "1" });
			h.append("a", "2");
			h.append("b", "3");
			return [...h];
		});
		await o("set replaces all", () => {
			const h = new Headers([["a", "1"], ["b", "2"], ["a", "3"]]);
			h.set("A", "4");
			return [...h];
		});
		await o("delete", () => {
			const h = new Headers([["a", "1"], ["A", "2"]]);
			h.delete("a");
			h.delete("none");
			return [...h];
		});
		await o("cookies stay apart", () => [...new Headers([["set-cookie", "a"], ["b", "1"], ["Set-Cookie", "c"]])]);
		await o("get of cookies", () => new Headers([["set-cookie", "a"], ["Set-Cookie", "c"]]).get("Set-Cookie"));
		await o("changed while iterated", () => {
			const h = new Headers({ a: "1", b: "2" });
			const seen: string[] = [];
			for (const [k] of h) {
				seen.push(k);
				h.delete("b");
			}
			return seen;
		});
		await o("an iterator's tag", () => Object.prototype.toString.call(new Headers().entries()));
		await o("of a Map", () => [...new Headers(wrong(new Map([["a", "1"]])))]);
		await o("of an array of three", () => new Headers(wrong([["a", "1", "2"]])));
		await o("of text", () => new Headers(wrong("a: b")));
		await o("of a symbol", () => [...new Headers(wrong({ [Symbol("s")]: "1", a: "2" }))]);
		await o("detached methods", () => wrong(Headers.prototype.get).call({}, "a"));
		await o("forEach's this", () => {
			let seen: unknown;
			wrong(new Headers({ a: "1" })).forEach(function (this: unknown) {
				seen = this;
			}, "me");
			return `${seen}`;
		});
	},

	async "http-streams"(t) {
		const o = labelled(t);
		await o("read at least", async () => {
			const { readable, writable } = new IdentityTransformStream();
			const w = writable.getWriter();
			void w.write(text("ab")).then(() => w.write(text("cd"))).then(() => w.close());
			const { value } = await wrong(readable.getReader({ mode: "byob" })).readAtLeast(3, new Uint8Array(8));
			return value;
		});
		await o("the end of a BYOB read", async () => {
			const reader = new Response("a").body!.getReader({ mode: "byob" });
			await reader.read(new Uint8Array(4));
			const { done, value } = await reader.read(new Uint8Array(4));
			return [done, value?.byteLength];
		});
		await o("BYOB of nothing", () => new Response("a").body!.getReader({ mode: "byob" }).read(new Uint8Array(0)));
		await o("BYOB of an author's stream", () => new ReadableStream({ start: (c) => c.close() }).getReader({ mode: "byob" }));
		await o("a reader of another mode", () => new Response("a").body!.getReader(wrong({ mode: "x" })));
		await o("two readers", () => {
			const { body } = new Response("a");
			body!.getReader();
			body!.getReader();
		});
		await o("closed", async () => {
			const reader = new Response("a").body!.getReader();
			await reader.read();
			await reader.read();
			return reader.closed;
		});
		await o("identity of text", async () => {
			const { readable, writable } = new IdentityTransformStream();
			const w = wrong(writable.getWriter());
			const p = settled(() => w.write("text"));
			return [await Promise.race([read(readable), p]), "said"][1];
		});
		await o("identity of an object", async () => {
			const { writable } = new IdentityTransformStream();
			return wrong(writable.getWriter()).write({});
		});
		await o("identity aborted", async () => {
			const { readable, writable } = new IdentityTransformStream();
			const got = settled(() => read(readable));
			await writable.abort(new RangeError("given up"));
			return got;
		});
		await o("identity cancelled", async () => {
			const { readable, writable } = new IdentityTransformStream();
			const wrote = settled(() => writable.getWriter().write(text("x")));
			await readable.cancel(new RangeError("enough"));
			return wrote;
		});
		await o("identity waits for its reader", async () => {
			const { readable, writable } = new IdentityTransformStream();
			let written = false;
			const w = writable.getWriter();
			void w.write(text("x")).then(() => (written = true));
			await scheduler.wait(10);
			const before = written;
			await readable.getReader().read();
			await scheduler.wait(1);
			return [before, written];
		});
		await o("fixed: too much", async () => {
			const { readable, writable } = new FixedLengthStream(2);
			void settled(() => read(readable));
			const w = writable.getWriter();
			return w.write(text("abc"));
		});
		await o("fixed: too little", async () => {
			const { readable, writable } = new FixedLengthStream(4);
			void settled(() => read(readable));
			const w = writable.getWriter();
			await w.write(text("abc"));
			return w.close();
		});
		for (const n of [-1, 1.5, NaN, "3", null, undefined, 2n]) await o(`fixed ${n}`, () => typeof new FixedLengthStream(wrong(n)));
		await o("fixed is an identity", () => new FixedLengthStream(1) instanceof IdentityTransformStream);
		await o("identity is a transform", () => new IdentityTransformStream() instanceof TransformStream);
		await o("pipeTo", async () => {
			const seen: unknown[] = [];
			await new Response("abc").body!.pipeTo(new WritableStream({ write: (c) => void seen.push(c), close: () => void seen.push("closed") }));
			return seen;
		});
		await o("pipeTo that fails", () => new Response("abc").body!.pipeTo(new WritableStream({ write: () => Promise.reject(new RangeError("full")) })));
		await o("pipeTo of a used one", async () => {
			const r = new Response("abc");
			await r.text();
			return r.body!.pipeTo(new WritableStream());
		});
		await o("pipeTo with a signal", () => new Response("abc").body!.pipeTo(new WritableStream(), { signal: AbortSignal.abort(new RangeError("no")) }));
		await o("pipeThrough", () => read(new Response("abc").body!.pipeThrough(new TransformStream({ transform: (c: Uint8Array, to) => to.enqueue(c.map((b) => b - 32)) }))));
		await o("a transform of text", async () => chunks(new Response("äb").body!.pipeThrough(new TextDecoderStream())));
		await o("letters cut apart", async () => {
			const { readable, writable } = new TextDecoderStream();
			const w = wrong(writable.getWriter());
			void w.write(new Uint8Array([0xc3])).then(() => w.write(new Uint8Array([0xa4]))).then(() => w.close());
			return (await chunks(readable)).join("|");
		});
		await o("an encoder", async () => chunks(streamFrom(["a", "ü"]).pipeThrough(new TextEncoderStream())));
		for (const format of ["gzip", "deflate", "deflate-raw", "brotli", "nonsense"]) {
			await o(`${format} and back`, async () => {
				const packed = new Response("packed ".repeat(50)).body!.pipeThrough(new CompressionStream(wrong(format)));
				const back = await read(packed.pipeThrough(new DecompressionStream(wrong(format))));
				return back.length;
			});
		}
		await o("what is no gzip", () => read(new Response("plain").body!.pipeThrough(new DecompressionStream("gzip"))));
		await o("a gzip that is cut", async () => {
			const whole = await new Response(new Response("packed").body!.pipeThrough(new CompressionStream("gzip"))).bytes();
			return read(new Response(whole.subarray(0, 10)).body!.pipeThrough(new DecompressionStream("gzip")));
		});
		await o("for await", async () => {
			let n = 0;
			for await (const c of new Response("abc").body!) n += c.byteLength;
			return n;
		});
		await o("values, and the rest", async () => {
			const s = streamFrom([1, 2, 3]);
			for await (const v of s.values({ preventCancel: true })) {
				if (v === 1) break;
			}
			return chunks(s);
		});
		await o("from a list", () => chunks(streamFrom(["a", 1, null])));
		await o("from what is not iterable", () => streamFrom(wrong(5)));
		await o("strategies", () => [new CountQueuingStrategy({ highWaterMark: 2 }).highWaterMark, wrong(new ByteLengthQueuingStrategy({ highWaterMark: 3 })).size(new Uint8Array(7))]);
		await o("back-pressure", async () => {
			let pulls = 0;
			const s = new ReadableStream({
				pull(c) {
					pulls++;
					c.enqueue(pulls);
				},
			}, { highWaterMark: 3 });
			await scheduler.wait(5);
			const before = pulls;
			await s.getReader().read();
			await scheduler.wait(5);
			return [before, pulls];
		});
		await o("desiredSize", () => {
			let size: number | null = null;
			new ReadableStream({ start: (c) => void (size = c.desiredSize) }, { highWaterMark: 4 });
			return size;
		});
		await o("cancel reaches the source", async () => {
			let reason: unknown;
			await new ReadableStream({ cancel: (r) => void (reason = r) }).cancel("because");
			return reason;
		});
		await o("a tee that is half read", async () => {
			const [a, b] = streamFrom([text("x"), text("y")]).tee();
			void a.cancel();
			return read(b);
		});
		await o("a BYOB source", async () => {
			const s = new ReadableStream(wrong({
				type: "bytes",
				pull(c: ReadableByteStreamController) {
					const view = c.byobRequest?.view;
					if (view) {
						wrong(view)[0] = 7;
						c.byobRequest!.respond(1);
					} else c.close();
				},
			}));
			const { value } = await wrong(s).getReader({ mode: "byob" }).read(new Uint8Array(3));
			return value;
		});
		await o("the names of streams", () => ["ReadableStream", "ReadableStreamDefaultReader", "ReadableStreamBYOBReader", "ReadableStreamBYOBRequest", "ReadableByteStreamController", "ReadableStreamDefaultController", "WritableStream", "WritableStreamDefaultWriter", "WritableStreamDefaultController", "TransformStream", "TransformStreamDefaultController"].map((n) => typeof wrong(globalThis)[n]));
		await o("a writer", async () => {
			const { writable } = new TransformStream();
			const w = writable.getWriter();
			return [w.desiredSize, writable.locked, await settled(() => w.ready)];
		});
		await o("a write after close", async () => {
			const w = new WritableStream().getWriter();
			await w.close();
			return w.write("x");
		});
	},
};
