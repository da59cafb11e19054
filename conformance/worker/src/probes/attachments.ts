// serializeAttachment and deserializeAttachment.

import { RpcTarget } from "cloudflare:workers";
import { Probe, Probes, wrong } from "../probe";
import { complaint, show } from "../show";

class Point {
	#hidden = 1;
	constructor(
		readonly x: number,
		readonly y: number,
	) {}
	get length(): number {
		return Math.hypot(this.x, this.y, this.#hidden);
	}
}

const server = (): WebSocket => new WebSocketPair()[1];

/** Says what comes back of a value. */
function roundTrip(t: Probe, label: string, make: () => unknown): void {
	const ws = server();
	t.observe(label, () => {
		ws.serializeAttachment(make());
		return ws.deserializeAttachment();
	});
}

/** Says whether a value of n bytes of text fits. */
function fits(t: Probe, label: string, value: unknown): void {
	const ws = server();
	ws.serializeAttachment("before");
	try {
		ws.serializeAttachment(value);
		t.say(`${label}: fits`);
	} catch (e) {
		t.say(`${label}: ${complaint(e)}; then ${show(ws.deserializeAttachment())}`);
	}
}

export const attachments: Probes = {
	"attachment-kinds"(t) {
		const cyclic: Record<string, unknown> = { a: 1 };
		cyclic.self = cyclic;
		const shared = { s: 1 };
		const kinds: [string, () => unknown][] = [
			["undefined", () => undefined],
			["null", () => null],
			["true", () => true],
			["a number", () => 1.5],
			["-0", () => -0],
			["NaN", () => NaN],
			["an integer past 2^31", () => 2 ** 40],
			["a BigInt", () => 2n ** 70n],
			["a string", () => "héllo\u0000wörld"],
			["a lone surrogate", () => "\ud800"],
			["an array", () => [1, "a", null]],
			["an array with a hole", () => [1, , 3]],
			["an object", () => ({ a: 1, b: { c: [] } })],
			["undefined inside", () => ({ a: undefined })],
			["a Date", () => new Date(86_400_000)],
			["an invalid Date", () => new Date(NaN)],
			["a RegExp", () => /a+/gi],
			["a Map", () => new Map<unknown, unknown>([["a", 1], [2, new Set([3])]])],
			["a Set", () => new Set([1, "b"])],
			["an ArrayBuffer", () => new Uint8Array([1, 2]).buffer],
			["a Uint8Array", () => new Uint8Array([1, 2])],
			["a part of a buffer", () => new Uint8Array([1, 2, 3, 4]).subarray(1, 3)],
			["a Float64Array", () => new Float64Array([1.5])],
			["a BigInt64Array", () => new BigInt64Array([-1n])],
			["a DataView", () => new DataView(new Uint8Array([7]).buffer)],
			["a boxed number", () => Object(5)],
			["an Error", () => new RangeError("wrong")],
			["an Error with a cause", () => new Error("outer", { cause: "inner" })],
			["itself inside", () => cyclic],
			["one object twice", () => [shared, shared]],
			["an instance of a class", () => new Point(3, 4)],
			["an object without a prototype", () => Object.assign(Object.create(null), { a: 1 })],
			["a getter", () => ({ get a() { return 1; } })],
			["a function", () => () => 1],
			["a function inside", () => ({ f: () => 1 })],
			["a symbol", () => Symbol("s")],
			["a symbol as a key", () => ({ [Symbol("k")]: 1, a: 2 })],
			["a WebSocket", () => server()],
			["a WeakMap", () => new WeakMap()],
			["a Promise", () => Promise.resolve()],
			["a ReadableStream", () => new ReadableStream()],
			["an RpcTarget", () => new (wrong(RpcTarget))()],
			["a URL", () => new URL("http://x/")],
			["a DurableObjectId", () => t.ctx.id],
			["a getter that throws", () => ({ get a() { throw new RangeError("in a getter"); } })],
		];
		for (const [label, make] of kinds) roundTrip(t, label, make);
		const again = server();
		again.serializeAttachment([shared, shared]);
		const [a, b] = again.deserializeAttachment();
		t.say(`one object twice is one object: ${a === b}`);
	},

	"attachment-rules"(t) {
		const ws = wrong(server());
		t.observe("none yet", () => ws.deserializeAttachment());
		t.observe("no argument", () => ws.serializeAttachment());
		t.observe("returns", () => ws.serializeAttachment({ n: 1 }));
		t.observe("a second argument is ignored", () => ws.serializeAttachment({ n: 1 }, { transfer: [] }));
		const value = { list: [1] };
		ws.serializeAttachment(value);
		value.list.push(2);
		t.observe("a snapshot", () => ws.deserializeAttachment());
		const copy = ws.deserializeAttachment();
		t.say(`a fresh copy each time: ${copy !== ws.deserializeAttachment()}`);
		copy.list.push(3);
		t.observe("a change of the copy is lost", () => ws.deserializeAttachment());
		t.observe("a function leaves the old one", () => ws.serializeAttachment(() => 1));
		t.observe("which is", () => ws.deserializeAttachment());
		t.observe("undefined takes its place", () => ws.serializeAttachment(undefined));
		t.observe("and is", () => ws.deserializeAttachment());
		t.observe("through the prototype", () => {
			WebSocket.prototype.serializeAttachment.call(ws, "by the prototype");
			return WebSocket.prototype.deserializeAttachment.call(ws);
		});
		const standard = server();
		standard.accept();
		standard.serializeAttachment("on a standard socket");
		t.observe("on a standard socket", () => standard.deserializeAttachment());
		const pair = new WebSocketPair();
		pair[0].serializeAttachment("on the client's end");
		t.observe("the ends have their own", () => [pair[0].deserializeAttachment(), pair[1].deserializeAttachment()]);
		const bytes = new Uint8Array([1, 2]);
		ws.serializeAttachment(bytes.buffer);
		t.say(`a buffer is copied, not moved: ${bytes.length}`);
	},

	"attachment-limit"(t) {
		for (const limit of [2048, 16_384]) {
			fits(t, `text of ${limit - 5}`, "x".repeat(limit - 5));
			fits(t, `text of ${limit - 4}`, "x".repeat(limit - 4));
			fits(t, `text of ${limit}`, "x".repeat(limit));
		}
		for (const n of [1021, 1022, 8189, 8190]) fits(t, `two-byte text of ${n}`, "€".repeat(n));
		fits(t, "2,000 bytes", new Uint8Array(2000));
		fits(t, "16,300 bytes", new Uint8Array(16_300));
		fits(t, "16,384 bytes", new Uint8Array(16_384));
		fits(t, "a megabyte", "x".repeat(1 << 20));
	},

	attach(t) {
		const ws = t.ws ?? t.socket();
		ws.serializeAttachment(JSON.parse(t.args.join(" ")));
	},

	"attach-rich"(t) {
		(t.ws ?? t.socket()).serializeAttachment({
			at: new Date(0),
			names: new Set(["a"]),
			by: new Map([[1, 2n]]),
			bytes: new Uint8Array([1, 2, 3]),
		});
	},

	attached: (t) => t.observe("attachment", () => (t.ws ?? t.socket(t.args[0])).deserializeAttachment()),
};
