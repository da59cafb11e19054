// The pieces of the platform beside its own classes.

import * as workers from "cloudflare:workers";
import { wrong } from "../probe";
import { labelled } from "../show";
import type { Front } from "./front";

const hex = (b: ArrayBuffer): string => [...new Uint8Array(b)].map((x) => x.toString(16).padStart(2, "0")).join("");

const text = (s: string): Uint8Array => new TextEncoder().encode(s);

const globals = `AbortController AbortSignal Blob BroadcastChannel ByteLengthQueuingStrategy Cache CacheStorage CloseEvent Cloudflare CompressionStream CountQueuingStrategy
	Crypto CryptoKey CustomEvent DOMException DecompressionStream DurableObject ErrorEvent Event EventSource EventTarget ExtendableEvent FetchEvent File FixedLengthStream FormData
	HTMLRewriter Headers IdentityTransformStream Iterator MessageChannel MessageEvent MessagePort Navigator Performance PerformanceEntry PerformanceMark PerformanceMeasure PerformanceObserver
	PerformanceResourceTiming PromiseRejectionEvent ReadableByteStreamController ReadableStream ReadableStreamBYOBReader ReadableStreamBYOBRequest ReadableStreamDefaultController ReadableStreamDefaultReader
	Request Response ScheduledEvent ServiceWorkerGlobalScope SharedArrayBuffer SubtleCrypto TailEvent TextDecoder TextDecoderStream TextEncoder TextEncoderStream TransformStream
	TransformStreamDefaultController URL URLPattern URLSearchParams WebAssembly WebSocket WebSocketPair WebSocketRequestResponsePair WorkerGlobalScope WritableStream WritableStreamDefaultController
	WritableStreamDefaultWriter addEventListener atob btoa caches clearImmediate clearInterval clearTimeout console crypto dispatchEvent fetch gc global navigator origin performance process queueMicrotask
	removeEventListener reportError scheduler self setImmediate setInterval setTimeout structuredClone Buffer Deno window document location importScripts XMLHttpRequest Worker indexedDB localStorage
	Storage alert require module exports __dirname __filename FinalizationRegistry WeakRef Atomics Temporal Float16Array EventSource Intl`.split(/\s+/);

export const platform: Record<string, (t: Front) => unknown> = {
	async "platform-names"({ say }) {
		for (const name of new Set(globals)) say(`${name}: ${typeof wrong(globalThis)[name]}`);
	},

	async "platform-pieces"(t) {
		const o = labelled(t);
		await o("navigator", () => [navigator.userAgent, typeof navigator.hardwareConcurrency, wrong(navigator).language, Object.prototype.toString.call(navigator)]);
		await o("sendBeacon", () => typeof wrong(navigator).sendBeacon);
		await o("performance.now", () => typeof performance.now());
		await o("performance.timeOrigin", () => typeof performance.timeOrigin);
		await o("performance.mark", () => wrong(performance).mark("a")?.name);
		await o("performance.measure", () => wrong(performance).measure("m", "a")?.entryType);
		await o("queueMicrotask", () => new Promise((done) => queueMicrotask(() => done("ran"))));
		await o("queueMicrotask of none", () => queueMicrotask(wrong(undefined)));
		await o("scheduler.wait", () => scheduler.wait(1));
		await o("scheduler.wait, aborted", () => scheduler.wait(10_000, { signal: AbortSignal.abort() }));
		await o("scheduler.wait, aborted later", () => scheduler.wait(10_000, { signal: AbortSignal.timeout(5) }));
		await o("scheduler's tag", () => Object.prototype.toString.call(scheduler));
		await o("setTimeout's arguments", () => new Promise((done) => wrong(setTimeout)((...a: unknown[]) => done(a), 1, "x", 2)));
		await o("structuredClone", () => structuredClone({ a: [1n, new Map([[1, new Set([2])]]), new Date(0), /x/g] }));
		await o("structuredClone of a function", () => structuredClone(() => 1));
		await o("structuredClone that transfers", () => {
			const a = new ArrayBuffer(4);
			const b = structuredClone(a, { transfer: [a] });
			return [a.byteLength, b.byteLength];
		});
		await o("reportError", () => reportError(new Error("reported")));
		await o("MessageChannel", () => new Promise((done) => {
			const { port1, port2 } = new MessageChannel();
			wrong(port2).onmessage = (e: MessageEvent) => {
				done(e.data);
				port1.close();
			};
			port1.postMessage({ a: [1] });
		}));
		await o("URLPattern", () => new URLPattern({ pathname: "/rooms/:name/*" }).exec("http://x/rooms/lobby/ws")?.pathname.groups);
		await o("URLPattern that does not match", () => new URLPattern("http://x/a").test("http://x/b"));
		await o("URL.canParse", () => [URL.canParse("http://x"), URL.canParse("x"), wrong(URL).parse?.("x")]);
		await o("URLSearchParams.size", () => new URLSearchParams("a=1&b=2").size);
		await o("AbortSignal.any", () => AbortSignal.any([AbortSignal.abort(new RangeError("r")), new AbortController().signal]).reason);
		await o("AbortSignal.abort", () => AbortSignal.abort().reason);
		await o("AbortSignal.timeout", () => new Promise((done) => {
			const s = AbortSignal.timeout(1);
			s.addEventListener("abort", () => done(s.reason));
		}));
		await o("throwIfAborted", () => AbortSignal.abort(new RangeError("r")).throwIfAborted());
		await o("atob of nonsense", () => atob("%"));
		await o("btoa of much", () => btoa("ż"));
		await o("TextDecoder", () => [new TextDecoder("utf-16le").decode(new Uint8Array([97, 0])), new TextDecoder().encoding]);
		await o("TextDecoder, fatal", () => new TextDecoder("utf-8", wrong({ fatal: true })).decode(new Uint8Array([255])));
		await o("TextDecoder of another name", () => new TextDecoder("nonsense"));
		await o("latin1", () => new TextDecoder("latin1").encoding);
		await o("an Event", () => {
			const target = new EventTarget();
			let seen: unknown;
			target.addEventListener("x", (e) => (seen = [e.type, e.cancelable, e.defaultPrevented]), { once: true });
			target.dispatchEvent(new Event("x", { cancelable: true }));
			return seen;
		});
		await o("a CustomEvent", () => wrong(new CustomEvent("x", { detail: 5 })).detail);
		await o("an ErrorEvent", () => {
			const e = new ErrorEvent("error", { message: "m", filename: "f", lineno: 1, colno: 2, error: 3 });
			return [e.message, e.filename, e.lineno, e.colno, e.error];
		});
		await o("a CloseEvent", () => {
			const e = new CloseEvent("close", { code: 1000, reason: "r", wasClean: true });
			return [e.code, e.reason, e.wasClean];
		});
		await o("a MessageEvent", () => wrong(new MessageEvent("message", { data: 1 })).data);
		await o("a DOMException", () => {
			const e = new DOMException("m", "AbortError");
			return [e.name, e.code, e instanceof Error];
		});
		await o("a File", () => {
			const f = new File(["abc"], "n", { type: "t/x", lastModified: 5 });
			return [f.name, f.type, f.size, f.lastModified];
		});
		await o("a slice of a Blob", () => new Blob(["abcdef"]).slice(1, 3).text());
		await o("a Blob's stream", async () => new Response(new Blob(["abc"]).stream()).text());
		await o("eval", () => (0, eval)("1"));
		await o("new Function", () => new Function("return 1")());
		await o("WebAssembly of bytes", async () => typeof (await WebAssembly.instantiate(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]) as never)));
		await o("the time does not stand still for ever", () => Date.now() > 1_700_000_000_000);
		await o("the compatibility flags", () => [typeof Cloudflare.compatibilityFlags, wrong(Cloudflare).compatibilityFlags.nodejs_compat]);
	},

	async "platform-crypto"(t) {
		const o = labelled(t);
		for (const name of ["MD5", "SHA-1", "sha-256", "SHA-384", "SHA-512", "nonsense"]) await o(`digest ${name}`, async () => hex(await crypto.subtle.digest(name, text("abc"))).slice(0, 16));
		await o("digest by an object", async () => hex(await crypto.subtle.digest({ name: "MD5" }, text("abc"))));
		await o("digest of text", () => crypto.subtle.digest("MD5", wrong("abc")));
		await o("timingSafeEqual", () => [crypto.subtle.timingSafeEqual(text("ab"), text("ab")), crypto.subtle.timingSafeEqual(text("ab"), text("ac"))]);
		await o("of other lengths", () => crypto.subtle.timingSafeEqual(text("ab"), text("abc")));
		await o("of text", () => crypto.subtle.timingSafeEqual(wrong("ab"), text("ab")));
		await o("of buffers", () => crypto.subtle.timingSafeEqual(wrong(text("ab").buffer), wrong(text("ab").buffer)));
		for (const name of ["MD5", "SHA-1", "SHA-256", "SHA-384", "SHA-512", "nonsense"]) {
			await o(`DigestStream ${name}`, async () => {
				const s = new crypto.DigestStream(name);
				await new Response("abc").body!.pipeTo(s);
				return hex(await s.digest).slice(0, 16);
			});
		}
		await o("DigestStream of text", async () => {
			const s = new crypto.DigestStream("MD5");
			const w = wrong(s).getWriter();
			await w.write("abc");
			await w.close();
			return [hex(await s.digest), s.bytesWritten];
		});
		await o("DigestStream of an object", async () => wrong(new crypto.DigestStream("MD5")).getWriter().write({}));
		await o("DigestStream aborted", async () => {
			const s = new crypto.DigestStream("MD5");
			await s.abort(new RangeError("given up"));
			return s.digest;
		});
		await o("randomUUID", () => /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID()));
		await o("getRandomValues", () => crypto.getRandomValues(new Uint8Array(4)).byteLength);
		await o("too many of them", () => crypto.getRandomValues(new Uint8Array(65537)));
		await o("of floats", () => crypto.getRandomValues(wrong(new Float32Array(1))));
		await o("HMAC", async () => {
			const key = await crypto.subtle.importKey("raw", text("key"), { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
			const signed = await crypto.subtle.sign("HMAC", key, text("message"));
			return [hex(signed).slice(0, 16), await crypto.subtle.verify("HMAC", key, signed, text("message"))];
		});
		await o("AES-GCM", async () => {
			const key = wrong(await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, true, ["encrypt", "decrypt"]));
			const iv = new Uint8Array(12);
			const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, key, text("secret"));
			return new TextDecoder().decode(await crypto.subtle.decrypt({ name: "AES-GCM", iv }, key, sealed));
		});
		await o("PBKDF2", async () => {
			const key = await crypto.subtle.importKey("raw", text("pass"), "PBKDF2", false, ["deriveBits"]);
			return hex(wrong(await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt: text("salt"), iterations: 10 }, key, 64)));
		});
		await o("ECDSA", async () => {
			const { privateKey, publicKey } = wrong(await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]));
			const signed = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, privateKey, text("m"));
			return crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, publicKey, signed, text("m"));
		});
		await o("Ed25519", async () => {
			const { privateKey, publicKey } = wrong(await crypto.subtle.generateKey({ name: "Ed25519" }, true, ["sign", "verify"]));
			return crypto.subtle.verify({ name: "Ed25519" }, publicKey, await crypto.subtle.sign({ name: "Ed25519" }, privateKey, text("m")), text("m"));
		});
		await o("a key's tag", async () => Object.prototype.toString.call(await crypto.subtle.importKey("raw", text("key"), { name: "HMAC", hash: "SHA-256" }, false, ["sign"])));
		await o("a key of JWK", async () => (wrong(await crypto.subtle.exportKey("jwk", await crypto.subtle.importKey("raw", text("key"), { name: "HMAC", hash: "SHA-256" }, true, ["sign"]))) as JsonWebKey).k);
	},

	async "platform-workers"(t) {
		const o = labelled(t);
		const all = wrong(workers);
		t.say(`exports: ${Object.keys(workers).sort().join(" ")}`);
		for (const name of Object.keys(workers).sort()) t.say(`${name}: ${typeof all[name]}`);
		await o("withEnv", () => all.withEnv({ X: 1 }, () => all.env.X));
		await o("env afterwards", () => all.env.X);
		await o("withEnv over an await", () => all.withEnv({ X: 2 }, async () => {
			await scheduler.wait(1);
			return all.env.X;
		}));
		await o("withEnv of none", () => all.withEnv());
		await o("withExports", () => all.withExports({ Y: 1 }, () => all.exports.Y));
		await o("withEnvAndExports", () => all.withEnvAndExports({ X: 3 }, { Y: 4 }, () => [all.env.X, all.exports.Y]));
		await o("waitUntil", () => all.waitUntil(Promise.resolve(1)));
		await o("waitUntil of none", () => all.waitUntil());
		await o("exports", () => Object.keys(all.exports).sort());
		await o("env", () => Object.keys(all.env).sort());
		await o("tracing", () => Object.keys(all.tracing).sort());
		await o("enterSpan", () => all.tracing.enterSpan("s", (span: unknown, x: number) => [typeof span, x], 5));
		await o("cache", () => [typeof all.cache, all.cache && Object.keys(all.cache).sort()]);
		await o("new DurableObject", () => new all.DurableObject());
		await o("new WorkerEntrypoint", () => new all.WorkerEntrypoint());
		await o("new RpcTarget", () => Object.prototype.toString.call(new all.RpcTarget()));
		await o("new RpcPromise", () => new all.RpcPromise());
		await o("new ServiceStub", () => new all.ServiceStub());
		await o("a module that there is not", () => import(wrong("cloudflare:nothing")));
		await o("cloudflare:sockets", async () => Object.keys(await import("cloudflare:sockets")).sort());
		await o("cloudflare:email", async () => Object.keys(await import(wrong("cloudflare:email"))).sort());
		await o("cloudflare:workflows", async () => Object.keys(await import(wrong("cloudflare:workflows"))).sort());
		await o("cloudflare:durable-objects", async () => Object.keys(await import(wrong("cloudflare:durable-objects"))).sort());
	},

	/** Which of Node's modules there are, and something of each that there is. */
	async "platform-node"(t) {
		const o = labelled(t);
		const names = `assert assert/strict async_hooks buffer child_process cluster console constants crypto dgram diagnostics_channel dns dns/promises domain events fs fs/promises http http2 https
			inspector inspector/promises module net os path path/posix path/win32 perf_hooks process punycode querystring readline readline/promises repl sqlite stream stream/consumers stream/promises
			stream/web string_decoder sys test timers timers/promises tls trace_events tty url util util/types v8 vm wasi worker_threads zlib nothing`.split(/\s+/);
		for (const name of names) await o(`node:${name}`, async () => typeof (await import(wrong(`node:${name}`))).default);
		await o("without the prefix", async () => typeof (await import(wrong("path"))).join);
	},
};
