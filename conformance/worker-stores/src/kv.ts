// KV: what the binding takes, returns and refuses.

import { bytes, Probe, wrong, wild } from "./probe";

async function named(t: Probe, list: Promise<KVNamespaceListResult<unknown, string>>): Promise<string> {
	const l = await list;
	return `${l.keys.map((k) => JSON.stringify(k)).join(" ")} ${l.list_complete}${"cursor" in l ? " cursor" : ""}`;
}

/** An error whose message has no time in it. */
const dateless = (e: Error) => new Error(e.message.replace(/\d{6,}/, "TIME"));

export const kv: Record<string, (t: Probe) => unknown> = {
	async "kv-values"(t) {
		const { KV } = t.env;
		await t.say("nothing", () => KV.get("nothing"));
		await t.say("nothing with metadata", () => KV.getWithMetadata("nothing"));
		await t.say("put", () => KV.put("text", "héllo"));
		await t.say("get", () => KV.get("text"));
		await t.say("get text", () => KV.get("text", "text"));
		await t.say("get in an option", () => KV.get("text", { type: "text" }));
		await t.say("arrayBuffer", () => KV.get("text", "arrayBuffer"));
		await t.say("stream", async () => await new Response(await KV.get("text", "stream")).text());
		await t.say("json of no json", () => KV.get("text", "json"));
		await t.say("put again", () => KV.put("text", '{"a":[1,2]}'));
		await t.say("json", () => KV.get("text", "json"));
		await t.say("json in an option", () => KV.get("text", { type: "json" }));
		await t.say("empty", async () => [await KV.put("empty", ""), await KV.get("empty"), await KV.get("empty", "arrayBuffer")]);
		await t.say("bytes", async () => [await KV.put("bytes", new Uint8Array([0, 255, 1])), await KV.get("bytes", "arrayBuffer")]);
		await t.say("a buffer", async () => [await KV.put("bytes", new Uint8Array([7, 8]).buffer), await KV.get("bytes", "arrayBuffer")]);
		await t.say("a stream", async () => [await KV.put("bytes", wrong(new Response("streamed").body)), await KV.get("bytes")]);
		await t.say("a large one", async () => [await KV.put("large", wild(300_000)), (await KV.get("large"))?.length]);
		await t.say("a large stream", async () => {
			let n = 0;
			for await (const piece of (await KV.get("large", "stream"))!) n += piece.byteLength;
			return n;
		});
		await t.say("delete", () => KV.delete("text"));
		await t.say("delete again", () => KV.delete("text"));
		await t.say("gone", () => KV.get("text"));
		await t.say("another namespace", async () => [await t.env.OTHER_KV.put("bytes", "x"), await t.env.OTHER_KV.get("bytes"), await KV.get("bytes")]);
		await t.say("a type that there is not", () => KV.get("bytes", wrong("blob")));
		await t.say("a number as value", async () => [await KV.put("n", wrong(42)), await KV.get("n")]);
		await t.say("an object as value", async () => [await KV.put("n", wrong({ a: 1 })), await KV.get("n")]);
		await t.say("null as value", async () => [await KV.put("n", wrong(null)), await KV.get("n")]);
		await t.say("no value", () => wrong(KV).put("n"));
	},

	async "kv-keys"(t) {
		const { KV } = t.env;
		for (const key of ["", ".", "..", "a/b", "../x", "a b", "ü€😀", "%2e%2e", "a?b#c", "a\u0000b", "x".repeat(512), "x".repeat(513), "é".repeat(257), "\ud800"]) {
			const short = key.length > 20 ? `${key[0]}*${key.length}` : JSON.stringify(key);
			await t.say(`put ${short}`, () => KV.put(key, "v"));
			await t.say(`get ${short}`, () => KV.get(key));
			await t.say(`delete ${short}`, () => KV.delete(key));
		}
		await t.say("a number", async () => [await KV.put(wrong(7), "seven"), await KV.get("7"), await KV.get(wrong(7))]);
		await t.say("undefined", () => KV.get(wrong(undefined)));
		await t.say("none", () => wrong(KV).get());
		await t.say("none to put", () => wrong(KV).put());
		await t.say("none to delete", () => wrong(KV).delete());
	},

	async "kv-metadata"(t) {
		const { KV } = t.env;
		await t.say("put", () => KV.put("m", "v", { metadata: { a: 1, b: ["ü", null], c: "😀" } }));
		await t.say("getWithMetadata", () => KV.getWithMetadata("m"));
		await t.say("with a type", () => KV.getWithMetadata("m", "arrayBuffer"));
		await t.say("with an option", () => KV.getWithMetadata("m", { type: "text" }));
		await t.say("a stream", async () => {
			const { value, metadata } = await KV.getWithMetadata("m", "stream");
			return [await new Response(value).text(), metadata];
		});
		await t.say("none any more", async () => [await KV.put("m", "w"), await KV.getWithMetadata("m")]);
		for (const metadata of [null, "text", 0, false, [1], undefined]) {
			await t.say(`${JSON.stringify(metadata)}`, async () => {
				await KV.put("m", "v", { metadata });
				return (await KV.getWithMetadata("m")).metadata;
			});
		}
		await t.say("1024 bytes", () => KV.put("m", "v", { metadata: "x".repeat(1022) }));
		await t.say("1025 bytes", () => KV.put("m", "v", { metadata: "x".repeat(1023) }));
		await t.say("1025 bytes in fewer letters", () => KV.put("m", "v", { metadata: "é".repeat(511) + "x" }));
		await t.say("a bigint", () => KV.put("m", "v", { metadata: 1n }));
		await t.say("a circle", () => {
			const circle: unknown[] = [];
			circle.push(circle);
			return KV.put("m", "v", { metadata: circle }).catch((e) => e.constructor.name);
		});
	},

	async "kv-expiration"(t) {
		const { KV } = t.env;
		const now = Math.floor(Date.now() / 1000);
		for (const ttl of [60, 59, 0, -1, 61.9, NaN, Infinity, "90", null, undefined]) {
			await t.say(`expirationTtl ${ttl}`, () => KV.put("e", "v", { expirationTtl: wrong(ttl) }));
		}
		await t.say("expiration in an hour", () => KV.put("e1", "v", { expiration: now + 3600 }));
		await t.say("it is listed", async () => {
			const { keys } = await KV.list({ prefix: "e1" });
			return keys.map((k) => [k.name, k.expiration === now + 3600]);
		});
		await t.say("expiration now", () => KV.put("e", "v", { expiration: now }).catch(dateless));
		await t.say("expiration too soon", () => KV.put("e", "v", { expiration: now + 30 }).catch(dateless));
		await t.say("expiration in the past", () => KV.put("e", "v", { expiration: 1 }));
		await t.say("both", async () => {
			await KV.put("e2", "v", { expiration: now + 7200, expirationTtl: 3600 });
			const { keys } = await KV.list({ prefix: "e2" });
			return Math.abs(keys[0].expiration! - now - 3600) < 5;
		});
		await t.say("cacheTtl 30", () => KV.get("e1", { cacheTtl: 30 }));
		await t.say("cacheTtl 29", () => KV.get("e1", { cacheTtl: 29 }));
		await t.say("cacheTtl of no number", () => KV.get("e1", { cacheTtl: wrong("x") }));
		await t.say("cacheTtl with metadata", () => KV.getWithMetadata("e1", { cacheTtl: 10 }));
	},

	async "kv-several"(t) {
		const { KV } = t.env;
		await KV.put("s1", '{"a":1}', { metadata: { m: 1 } });
		await KV.put("s2", "[2]");
		await t.say("get", () => KV.get(["s1", "s2", "s3"]));
		await t.say("json", () => KV.get(["s1", "s2"], "json"));
		await t.say("json in an option", () => KV.get(["s2", "s1"], { type: "json" }));
		await t.say("text", () => KV.get(["s2"], { type: "text" }));
		await t.say("with metadata", () => KV.getWithMetadata(["s1", "s2", "s3"]));
		await t.say("with metadata, json", () => KV.getWithMetadata(["s1"], "json"));
		await t.say("arrayBuffer", () => KV.get(["s1"], wrong("arrayBuffer")));
		await t.say("stream", () => KV.get(["s1"], wrong({ type: "stream" })));
		await t.say("none", () => KV.get([]));
		await t.say("100", async () => (await KV.get(Array.from({ length: 100 }, (_, i) => `s${i}`))).size);
		await t.say("101", () => KV.get(Array.from({ length: 101 }, (_, i) => `s${i}`)));
		await t.say("the same twice", () => KV.get(["s1", "s1"]));
		await t.say("a bad key", () => KV.get(["s1", ""]));
		await t.say("a bad key, too long", () => KV.get(["s1", "x".repeat(513)]));
		await t.say("no json", async () => {
			await KV.put("s2", "no json");
			return KV.get(["s1", "s2"], "json");
		});
		await t.say("cacheTtl 29", () => KV.get(["s1"], { cacheTtl: 29 }));
	},

	async "kv-list"(t) {
		const { KV } = t.env;
		for (const key of ["l/b", "l/a", "l/a/1", "l/ü", "l/B", "l/😀", "m"]) await KV.put(key, "v", key === "l/a" ? { metadata: { x: 1 } } : {});
		await t.say("all", () => named(t, KV.list({ prefix: "l/" })));
		await t.say("a prefix that nothing has", () => named(t, KV.list({ prefix: "zzz" })));
		await t.say("pages", async () => {
			const seen: string[] = [];
			let cursor: string | undefined;
			for (let i = 0; i < 10; i++) {
				const l: KVNamespaceListResult<unknown, string> = await KV.list({ prefix: "l/", limit: 2, cursor });
				seen.push(l.keys.map((k) => k.name).join(","));
				if (l.list_complete) return seen;
				cursor = l.cursor;
			}
			return seen;
		});
		await t.say("a page that ends exactly", async () => (await KV.list({ prefix: "l/", limit: 6 })).list_complete);
		await t.say("what is in the answer", async () => Object.keys(await KV.list({ prefix: "l/", limit: 1 })).sort());
		await t.say("what is in a complete one", async () => Object.keys(await KV.list({ prefix: "l/" })).sort());
		await t.say("the empty prefix", async () => (await KV.list({ prefix: "" })).keys.length > 5);
		await t.say("null as prefix", async () => (await KV.list({ prefix: null })).keys.length > 5);
		await t.say("a null cursor", async () => (await KV.list({ prefix: "l/", cursor: null })).keys.length);
		await t.say("an empty cursor", async () => (await KV.list({ prefix: "l/", cursor: "" })).keys.length);
		for (const limit of [0, -1, 1000, 1001, NaN, 1.9]) await t.say(`limit ${limit}`, async () => (await KV.list({ prefix: "l/", limit })).keys.length);
		await t.say("a prefix of 513 bytes", () => KV.list({ prefix: "x".repeat(513) }));
		await t.say("a prefix with %", async () => (await KV.list({ prefix: "l%" })).keys.length);
		await t.say("a prefix with _", async () => (await KV.list({ prefix: "l_" })).keys.length);
	},

	async "kv-looks"(t) {
		const { KV } = t.env;
		await t.say("tag", () => Object.prototype.toString.call(KV));
		await t.say("constructor", () => KV.constructor.name);
		await t.say("own keys", () => Object.keys(KV));
		await t.say("methods", () => Object.getOwnPropertyNames(Object.getPrototypeOf(KV)).sort());
		await t.say("a promise", () => KV.get("x") instanceof Promise);
		await t.say("detached", () => {
			const { get } = KV;
			return wrong(get).call(undefined, "x");
		});
		await t.say("list without options", async () => (await KV.list()).list_complete);
		await t.say("too large", () => KV.put("big", new Uint8Array(25 * 1024 * 1024 + 1)));
		await t.say("as large as can be", async () => {
			await KV.put("big", new Uint8Array(25 * 1024 * 1024));
			const n = (await KV.get("big", "arrayBuffer"))!.byteLength;
			await KV.delete("big");
			return n;
		});
		await t.say("a stream that breaks off", async () => {
			await KV.put("kept", "before");
			const broken = new ReadableStream({
				start(c) {
					c.enqueue(bytes("half"));
				},
				pull(c) {
					c.error(new Error("the source broke"));
				},
			});
			return [await KV.put("kept", wrong(broken)).catch((e) => e.message), await KV.get("kept")];
		});
	},
};
