// R2: what the binding takes, returns and refuses.

import { bytes, Probe, wrong, wild } from "./probe";

const hello = "5d41402abc4b2a76b9719d911017c592"; // MD5 of "hello"

function told(o: R2Object | null): unknown {
	if (o === null) return null;
	return [
		o.key, o.size, o.etag, o.httpEtag, { ...o.httpMetadata }, o.customMetadata, o.range, "body" in o, o.storageClass,
		/^[0-9a-f]{32}$/.test(o.version), o.uploaded instanceof Date && Math.abs(+o.uploaded - Date.now()) < 60_000,
	];
}

/** put() with conditions may return null, and the types say so for all. */
const loose = (b: R2Bucket) => b as Omit<R2Bucket, "put"> & { put(key: string, value: unknown, options?: R2PutOptions): Promise<R2Object> };

const listed = (l: R2Objects) => `${l.objects.map((o) => o.key).join(",")} | ${l.delimitedPrefixes.join(",")} | ${l.truncated}`;

export const r2: Record<string, (t: Probe) => unknown> = {
	async "r2-objects"(t) {
		const R2 = loose(t.env.R2);
		await t.say("head of nothing", () => R2.head("nothing"));
		await t.say("get of nothing", () => R2.get("nothing"));
		await t.say("put", async () => told(await R2.put("a", "hello")));
		await t.say("head", async () => told(await R2.head("a")));
		await t.say("get", async () => told(await R2.get("a")));
		await t.say("text", async () => (await R2.get("a"))!.text());
		await t.say("arrayBuffer", async () => (await R2.get("a"))!.arrayBuffer());
		await t.say("bytes", async () => (await R2.get("a"))!.bytes());
		await t.say("blob", async () => (await R2.get("a"))!.blob());
		await t.say("json of no json", async () => (await R2.get("a"))!.json());
		await t.say("json", async () => {
			await R2.put("j", '{"a":[1]}');
			return (await R2.get("j"))!.json();
		});
		await t.say("body", async () => new Response((await R2.get("a"))!.body).text());
		await t.say("twice", async () => {
			const o = (await R2.get("a"))!;
			const before = o.bodyUsed;
			await o.text();
			return [before, o.bodyUsed, await o.text()];
		});
		await t.say("etag is the MD5", async () => (await R2.head("a"))!.etag === hello);
		await t.say("checksums", async () => Object.keys((await R2.head("a"))!.checksums).concat(JSON.stringify((await R2.head("a"))!.checksums)));
		await t.say("the same again has another version", async () => (await R2.put("a", "hello")).version === (await R2.put("a", "hello")).version);
		await t.say("empty", async () => [told(await R2.put("e", "")), await (await R2.get("e"))!.text()]);
		await t.say("null", async () => [told(await R2.put("e", null)), await (await R2.get("e"))!.text()]);
		await t.say("bytes put", async () => [(await R2.put("b", new Uint8Array([0, 255]))).size, await (await R2.get("b"))!.arrayBuffer()]);
		await t.say("a view", async () => [(await R2.put("b", new Uint16Array([1, 2]).subarray(1))).size, await (await R2.get("b"))!.arrayBuffer()]);
		await t.say("a blob", async () => [(await R2.put("b", new Blob(["blob"], { type: "text/x" }))).size, (await R2.head("b"))!.httpMetadata]);
		await t.say("a response's body", async () => (await R2.put("b", new Response("from a response").body)).size);
		await t.say("a stream of unknown length", async () => R2.put("b", new ReadableStream({ start: (c) => c.close() })));
		await t.say("a FixedLengthStream", async () => {
			const { readable, writable } = new FixedLengthStream(3);
			const w = writable.getWriter();
			void w.write(bytes("abc")).then(() => w.close());
			return (await R2.put("b", readable)).size;
		});
		await t.say("a large one", async () => {
			await R2.put("large", wild(1_000_000));
			let n = 0;
			for await (const piece of (await R2.get("large"))!.body) n += piece.byteLength;
			return n;
		});
		await t.say("delete", () => R2.delete("a"));
		await t.say("delete again", () => R2.delete("a"));
		await t.say("delete several", async () => [await R2.delete(["b", "e", "no"]), await R2.head("b"), await R2.head("e")]);
		await t.say("delete none", () => R2.delete([]));
		await t.say("a number as value", () => R2.put("n", wrong(42)));
		await t.say("undefined as value", async () => (await R2.put("n", wrong(undefined)))!.size);
		await t.say("no value", () => wrong(R2).put("n"));
		await t.say("no key", () => wrong(R2).get());
	},

	async "r2-keys"(t) {
		const R2 = loose(t.env.R2);
		for (const key of ["", ".", "..", "../../etc/passwd", "/a//b/", "a b", "ü€😀", "%2e", "a?b#c", "a\u0000b", "a\nb", "x".repeat(1024), "x".repeat(1025), "é".repeat(513)]) {
			const short = key.length > 20 ? `${key[0]}*${key.length}` : JSON.stringify(key);
			await t.say(`put ${short}`, async () => (await R2.put(key, "v"))?.key === key);
			await t.say(`get ${short}`, async () => (await R2.get(key))?.text());
			await t.say(`delete ${short}`, () => R2.delete(key));
		}
		await t.say("a number", async () => (await R2.put(wrong(7), "v")).key);
	},

	async "r2-metadata"(t) {
		const R2 = loose(t.env.R2);
		const expires = new Date(1_900_000_000_000);
		const all = { contentType: "text/x", contentLanguage: "de", contentDisposition: "inline", contentEncoding: "x-none", cacheControl: "no-store", cacheExpiry: expires };
		await t.say("put", async () => told(await R2.put("m", "v", { httpMetadata: all, customMetadata: { a: "1", b: "ü" } })));
		await t.say("head", async () => told(await R2.head("m")));
		await t.say("writeHttpMetadata", async () => {
			const h = new Headers({ "content-type": "before", "x-own": "1" });
			(await R2.head("m"))!.writeHttpMetadata(h);
			return [...h];
		});
		await t.say("from Headers", async () => {
			const httpMetadata = new Headers({ "content-type": "a/b", "content-language": "en", "cache-control": "x", "content-encoding": "y", "content-disposition": "z", expires: expires.toUTCString(), "x-other": "1" });
			return told(await R2.put("m", "v", { httpMetadata }));
		});
		await t.say("Headers with a bad date", async () => told(await R2.put("m", "v", { httpMetadata: new Headers({ expires: "soon" }) })));
		await t.say("none of it any more", async () => told(await R2.put("m", "v")));
		await t.say("custom that is no text", async () => (await R2.put("m", "v", { customMetadata: wrong({ n: 1, t: true }) })).customMetadata);
		await t.say("8192 bytes", async () => (await R2.put("m", "v", { customMetadata: { k: "x".repeat(8191) } })).size);
		await t.say("8193 bytes", () => R2.put("m", "v", { customMetadata: { k: "x".repeat(8192) } }));
		await t.say("wide letters count twice", () => R2.put("m", "v", { customMetadata: { k: "€".repeat(4096) } }));
		await t.say("writeHttpMetadata of nothing", async () => {
			const h = new Headers();
			(await R2.put("m", "v")).writeHttpMetadata(h);
			return [...h];
		});
		await t.say("unknown options", async () => (await R2.put("m", "v", wrong({ x: 1 }))).key);
		await t.say("storageClass", async () => (await R2.put("m", "v", wrong({ storageClass: "Standard" }))).storageClass);
	},

	async "r2-ranges"(t) {
		const R2 = loose(t.env.R2);
		await R2.put("r", "0123456789");
		const ranges: unknown[] = [
			{ offset: 2 }, { length: 3 }, { offset: 2, length: 3 }, { suffix: 4 }, { offset: 9 }, { offset: 10 }, { offset: 11 }, { offset: -1 },
			{ length: 0 }, { length: 100 }, { offset: 8, length: 5 }, { suffix: 0 }, { suffix: -1 }, { suffix: 20 }, { offset: 1.5 }, { length: NaN },
			{ offset: 1, suffix: 2 }, { length: 1, suffix: 2 }, {},
		];
		for (const range of ranges) {
			await t.say(JSON.stringify(range), async () => {
				const o = await R2.get("r", { range: wrong(range) });
				return [o!.range, await o!.text(), o!.size];
			});
		}
		for (const header of ["bytes=2-4", "bytes=2-", "bytes=-3", "bytes=0-0", "bytes=5-100", "bytes=20-", "bytes=4-2", "bytes=0-1,4-5", "lines=1-2", "bytes", "", "bytes= 1 - 2 ", "bytes=-0"]) {
			await t.say(`Range: ${header}`, async () => {
				const o = await R2.get("r", { range: new Headers({ range: header }) });
				return [o!.range, await o!.text()];
			});
		}
		await t.say("Headers without Range", async () => (await R2.get("r", { range: new Headers() }))!.text());
		await t.say("of an empty one", async () => {
			await R2.put("r0", "");
			return [(await R2.get("r0"))!.range, await R2.get("r0", { range: { offset: 0 } }).then((o) => o!.range)];
		});
	},

	async "r2-conditions"(t) {
		const R2 = loose(t.env.R2);
		const o = await R2.put("c", "hello");
		const before = new Date(+o.uploaded - 5000);
		const after = new Date(+o.uploaded + 5000);
		const tell = async (onlyIf: unknown) => {
			const got = await R2.get("c", { onlyIf: wrong(onlyIf) });
			return got === null ? null : "body" in got ? "with a body" : `without: ${got.key} ${got.size}`;
		};
		const conditions: Record<string, unknown> = {
			"etagMatches": { etagMatches: o.etag },
			"etagMatches another": { etagMatches: "x" },
			"etagMatches in quotes": { etagMatches: o.httpEtag },
			"etagDoesNotMatch": { etagDoesNotMatch: o.etag },
			"etagDoesNotMatch another": { etagDoesNotMatch: "x" },
			"uploadedBefore later": { uploadedBefore: after },
			"uploadedBefore earlier": { uploadedBefore: before },
			"uploadedAfter earlier": { uploadedAfter: before },
			"uploadedAfter later": { uploadedAfter: after },
			"both times": { uploadedAfter: before, uploadedBefore: after },
			"the tag saves the time": { etagMatches: o.etag, uploadedBefore: before },
			"the other tag saves the time": { etagDoesNotMatch: "x", uploadedAfter: after },
			"nothing": {},
			"If-Match": new Headers({ "if-match": o.httpEtag }),
			"If-Match *": new Headers({ "if-match": "*" }),
			"If-Match several": new Headers({ "if-match": `"x", ${o.httpEtag}` }),
			"If-Match weak": new Headers({ "if-match": `W/${o.httpEtag}` }),
			"If-Match without quotes": new Headers({ "if-match": o.etag }),
			"If-None-Match": new Headers({ "if-none-match": o.httpEtag }),
			"If-None-Match weak": new Headers({ "if-none-match": `W/${o.httpEtag}` }),
			"If-None-Match another": new Headers({ "if-none-match": '"x"' }),
			"If-None-Match *": new Headers({ "if-none-match": "*" }),
			"If-Modified-Since earlier": new Headers({ "if-modified-since": before.toUTCString() }),
			"If-Modified-Since later": new Headers({ "if-modified-since": after.toUTCString() }),
			"If-Unmodified-Since earlier": new Headers({ "if-unmodified-since": before.toUTCString() }),
			"If-Unmodified-Since later": new Headers({ "if-unmodified-since": after.toUTCString() }),
			"a bad date": new Headers({ "if-modified-since": "soon" }),
		};
		for (const [label, c] of Object.entries(conditions)) await t.say(label, () => tell(c));
		await t.say("of nothing", async () => R2.get("c-none", { onlyIf: { etagMatches: "x" } }));
		await t.say("put if it matches", async () => (await R2.put("c", "two", { onlyIf: { etagMatches: o.etag } }))?.size);
		await t.say("put if it still matches", async () => R2.put("c", "three", { onlyIf: { etagMatches: o.etag } }));
		await t.say("put if there is none", async () => R2.put("c", "four", { onlyIf: new Headers({ "if-none-match": "*" }) }));
		await t.say("put if there is none, and there is none", async () => (await R2.put("c2", "four", { onlyIf: new Headers({ "if-none-match": "*" }) }))?.size);
		await t.say("what is there", async () => (await R2.get("c"))!.text());
		await t.say("put if something is there that is not", async () => R2.put("c3", "x", { onlyIf: { etagMatches: "y" } }));
	},

	async "r2-checksums"(t) {
		const R2 = loose(t.env.R2);
		const hex = (b: ArrayBuffer) => [...new Uint8Array(b)].map((x) => x.toString(16).padStart(2, "0")).join("");
		for (const [name, algorithm] of [["md5", "MD5"], ["sha1", "SHA-1"], ["sha256", "SHA-256"], ["sha384", "SHA-384"], ["sha512", "SHA-512"]]) {
			const sum = await crypto.subtle.digest(algorithm, bytes("hello"));
			await t.say(`${name} as bytes`, async () => Object.keys((await R2.put("s", "hello", wrong({ [name]: sum }))).checksums.toJSON()).join(" "));
			await t.say(`${name} in hex`, async () => (await R2.put("s", "hello", wrong({ [name]: hex(sum) }))).size);
			await t.say(`wrong ${name}`, () => R2.put("s", "hallo", wrong({ [name]: hex(sum) })));
			await t.say(`short ${name}`, () => R2.put("s", "hello", wrong({ [name]: "abcd" })));
			await t.say(`${name} that is no hex`, () => R2.put("s", "hello", wrong({ [name]: "z".repeat(sum.byteLength * 2) })));
		}
		await t.say("two at once", () => R2.put("s", "hello", { md5: hello, sha1: "x".repeat(40) }));
		await t.say("toJSON", async () => (await R2.head("s"))!.checksums.toJSON());
		await t.say("as bytes", async () => (await R2.head("s"))!.checksums.md5);
		await t.say("another", async () => (await R2.head("s"))!.checksums.sha1);
		await t.say("what failed changed nothing", async () => (await R2.get("s"))!.text());
	},

	async "r2-list"(t) {
		const R2 = loose(t.env.R2);
		for (const key of ["l/a", "l/b/1", "l/b/2", "l/b/x/3", "l/c", "l/ü/1", "l/😀", "l/B"]) {
			await R2.put(key, "v", { httpMetadata: { contentType: "a/b" }, customMetadata: { k: "v" } });
		}
		const pages = async (o: R2ListOptions) => {
			const seen: string[] = [];
			let cursor: string | undefined;
			for (let i = 0; i < 20; i++) {
				const l = await R2.list({ ...o, ...(cursor === undefined ? {} : { cursor }) });
				seen.push(`${l.objects.map((x) => x.key).join(",")}|${l.delimitedPrefixes.join(",")}`);
				if (!l.truncated) return seen;
				cursor = l.cursor;
			}
			return seen;
		};
		await t.say("all", async () => listed(await R2.list({ prefix: "l/" })));
		await t.say("delimiter", async () => listed(await R2.list({ prefix: "l/", delimiter: "/" })));
		await t.say("delimiter without a prefix", async () => (await R2.list({ delimiter: "/" })).delimitedPrefixes.includes("l/"));
		await t.say("a long delimiter", async () => listed(await R2.list({ prefix: "l/", delimiter: "b/" })));
		await t.say("an empty delimiter", async () => listed(await R2.list({ prefix: "l/", delimiter: "" })));
		await t.say("startAfter", async () => listed(await R2.list({ prefix: "l/", startAfter: "l/b/1" })));
		await t.say("startAfter before the prefix", async () => listed(await R2.list({ prefix: "l/", startAfter: "a" })));
		await t.say("startAfter behind it", async () => listed(await R2.list({ prefix: "l/", startAfter: "z" })));
		await t.say("limit", async () => listed(await R2.list({ prefix: "l/", limit: 3 })));
		await t.say("exactly all", async () => (await R2.list({ prefix: "l/", limit: 8 })).truncated);
		await t.say("pages", () => pages({ prefix: "l/", limit: 3 }));
		await t.say("pages with a delimiter", () => pages({ prefix: "l/", delimiter: "/", limit: 2 }));
		await t.say("no metadata", async () => (await R2.list({ prefix: "l/a" })).objects.map((o) => [{ ...o.httpMetadata }, o.customMetadata]));
		await t.say("with metadata", async () => (await R2.list({ prefix: "l/a", include: ["httpMetadata", "customMetadata"] })).objects.map((o) => [{ ...o.httpMetadata }, o.customMetadata]));
		await t.say("with some", async () => (await R2.list({ prefix: "l/a", include: ["customMetadata"] })).objects.map((o) => [{ ...o.httpMetadata }, o.customMetadata]));
		await t.say("with what there is not", () => R2.list({ include: wrong(["x"]) }));
		for (const limit of [0, -1, 1001, 1000, NaN]) await t.say(`limit ${limit}`, async () => (await R2.list({ prefix: "l/", limit })).objects.length);
		await t.say("what is in the answer", async () => Object.keys(await R2.list({ prefix: "l/" })).sort());
		await t.say("what is in one that is cut", async () => Object.keys(await R2.list({ prefix: "l/", limit: 1 })).sort());
		await t.say("without options", async () => (await R2.list()).objects.length > 7);
		await t.say("nothing has it", async () => listed(await R2.list({ prefix: "zzz" })));
	},

	async "r2-looks"(t) {
		const R2 = loose(t.env.R2);
		const o = (await R2.put("looks", "v"))!;
		const g = (await R2.get("looks"))!;
		for (const [label, x] of [["bucket", R2], ["put", o], ["get", g], ["checksums", o.checksums]] as [string, object][]) {
			await t.say(`${label} tag`, () => Object.prototype.toString.call(x));
			await t.say(`${label} constructor`, () => x.constructor.name);
			await t.say(`${label} own keys`, () => Object.keys(x).map((k) => k));
			await t.say(`${label} members`, () => Object.getOwnPropertyNames(Object.getPrototypeOf(x)).sort());
		}
		await t.say("JSON", () => Object.keys(JSON.parse(JSON.stringify(o))).sort());
		await t.say("a HeadResult has no body", () => "body" in o);
		await t.say("instanceof", () => Object.getPrototypeOf(Object.getPrototypeOf(g)) === Object.getPrototypeOf(o));
		await g.text();
		await t.say("a stream that is too short", async () => {
			const { readable, writable } = new FixedLengthStream(5);
			const w = writable.getWriter();
			void w.write(bytes("abc")).then(() => w.close().catch(() => {}));
			return R2.put("short", readable).then(() => "put", (e) => e.constructor.name);
		});
		await t.say("and nothing is there", () => R2.head("short"));
	},
};
