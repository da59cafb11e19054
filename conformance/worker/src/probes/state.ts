// DurableObjectState itself: its members, and what it says to wrong arguments.

import { Probes, sleep, wrong } from "../probe";
import { outcome, show } from "../show";

const METHODS = [
	"waitUntil",
	"blockConcurrencyWhile",
	"acceptWebSocket",
	"getWebSockets",
	"getTags",
	"setWebSocketAutoResponse",
	"getWebSocketAutoResponse",
	"getWebSocketAutoResponseTimestamp",
	"setHibernatableWebSocketEventTimeout",
	"getHibernatableWebSocketEventTimeout",
	"abort",
] as const;

export const state: Probes = {
	/** Does nothing: a request that has been there. */
	nothing: () => {},

	/** Which code runs: 0 is the first. */
	code(t) {
		t.say(`code ${(globalThis as { codeVersion?: number }).codeVersion ?? 0}`);
	},

	/** Whether the instance is the one of before, what it has stored, and its sockets. */
	remembers(t) {
		t.say(`memory ${show(t.memory.get("seen") ?? false)}, stored ${show(t.ctx.storage.kv.get("seen"))}, sockets ${t.ctx.getWebSockets().length}`);
		t.memory.set("seen", true);
		t.ctx.storage.kv.put("seen", true);
	},

	/** ctx.facets: one of its calls, each. */
	async facets(t) {
		const facets = wrong(t.ctx.facets);
		t.say(Object.prototype.toString.call(facets));
		for (const name of ["get", "abort", "delete", "clone"]) t.say(`${name}: ${typeof facets[name]}`);
		t.observe("get", () => typeof facets.get("child", () => ({ class: wrong(t.ctx.exports).Room })));
		t.observe("abort", () => facets.abort("child", new Error("x")));
		t.observe("delete", () => facets.delete("child"));
	},

	/** An alarm that is set, in the given number of milliseconds. */
	async "alarm-in"(t) {
		await t.ctx.storage.setAlarm(Date.now() + Number(t.args[0]));
	},

	async waits(t) {
		await sleep(Number(t.args[0]));
	},

	members(t) {
		const { ctx } = t;
		t.say(Object.prototype.toString.call(ctx));
		t.say(`constructor ${ctx.constructor.name}`);
		t.say(`own keys ${show(Object.keys(ctx).sort())}`);
		t.say(`own names ${show(Object.getOwnPropertyNames(ctx).sort())}`);
		for (const key of Object.keys(ctx).sort()) {
			const d = Object.getOwnPropertyDescriptor(ctx, key);
			t.say(`${key}: ${d?.get ? "accessor" : "value"}, writable ${d?.writable}, enumerable ${d?.enumerable}, configurable ${d?.configurable}`);
		}
		for (const name of METHODS) {
			const d = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(ctx), name);
			t.say(`${name}: ${typeof d?.value} on the prototype, length ${d?.value?.length}, own ${Object.hasOwn(ctx, name)}`);
		}
	},

	identity(t) {
		const { ctx } = t;
		t.say(`id is one object: ${ctx.id === ctx.id}`);
		t.say(`storage is one object: ${ctx.storage === ctx.storage}`);
		t.say(`this.ctx is the constructor's: ${t.memory.get("constructor ctx") === ctx}`);
		t.say(`id is a ${ctx.id.constructor.name}, ${Object.prototype.toString.call(ctx.id)}`);
		t.say(`storage is a ${ctx.storage.constructor.name}`);
		t.say(`id.name ${show(ctx.id.name)}`);
		t.say(`id.toString() has ${ctx.id.toString().length} characters, matches ${/^[0-9a-f]{64}$/.test(ctx.id.toString())}`);
		t.say(`id equals itself: ${ctx.id.equals(ctx.id)}, the same of a name: ${ctx.id.equals(t.env.Room.idFromName(ctx.id.name ?? ""))}`);
	},

	props(t) {
		const ctx = wrong(t.ctx);
		t.say(`props ${show(ctx.props)}`);
		t.say(`container ${show(ctx.container)}`);
		t.say(`exports ${show(Object.keys(ctx.exports ?? {}).sort())}`);
		t.say(`facets ${typeof ctx.facets}`);
	},

	/** Class code is strict: an assignment that fails throws. */
	assignment(t) {
		const ctx = wrong(t.ctx);
		for (const name of ["id", "storage", "props", "waitUntil", "unheardOf"]) {
			const before = ctx[name];
			t.observe(`ctx.${name} = 1`, () => (ctx[name] = 1));
			t.say(`then ctx.${name} is ${ctx[name] === before ? "what it was" : show(ctx[name])}`);
			t.observe(`delete ctx.${name}`, () => delete ctx[name]);
			t.say(`then ctx.${name} is ${ctx[name] === before ? "what it was" : show(ctx[name])}`);
			if (before !== undefined) ctx[name] = before;
		}
		const id = wrong(t.ctx.id);
		const name = id.name;
		t.observe("ctx.id.name = 1", () => (id.name = 1));
		t.say(`then ctx.id.name is ${id.name === name ? "what it was" : show(id.name)}`);
		const storage = wrong(t.ctx.storage);
		const { sql } = storage;
		t.observe("ctx.storage.sql = 1", () => (storage.sql = 1));
		t.say(`then ctx.storage.sql is ${storage.sql === sql ? "what it was" : show(storage.sql)}`);
		storage.sql = sql;
	},

	"wrong-this"(t) {
		const { getWebSockets, waitUntil } = wrong(t.ctx);
		t.observe("getWebSockets without this", () => getWebSockets());
		t.observe("getWebSockets on {}", () => getWebSockets.call({}));
		t.observe("waitUntil without this", () => waitUntil(Promise.resolve()));
		t.observe("send on {}", () => WebSocket.prototype.send.call(wrong({}), "x"));
		t.observe("readyState of {}", () => Reflect.get(WebSocket.prototype, "readyState", {}));
	},

	async "wrong-arguments"(t) {
		const ctx = wrong(t.ctx);
		const calls: [string, () => unknown][] = [
			["waitUntil()", () => ctx.waitUntil()],
			["waitUntil(5)", () => ctx.waitUntil(5)],
			["waitUntil(undefined)", () => ctx.waitUntil(undefined)],
			["waitUntil(thenable)", () => ctx.waitUntil({ then: (f: () => void) => f() })],
			["acceptWebSocket()", () => ctx.acceptWebSocket()],
			["acceptWebSocket({})", () => ctx.acceptWebSocket({})],
			["acceptWebSocket(null)", () => ctx.acceptWebSocket(null)],
			["acceptWebSocket(pair)", () => ctx.acceptWebSocket(new WebSocketPair())],
			["getTags()", () => ctx.getTags()],
			["getTags('a')", () => ctx.getTags("a")],
			["setWebSocketAutoResponse('a')", () => ctx.setWebSocketAutoResponse("a")],
			["setWebSocketAutoResponse(null)", () => ctx.setWebSocketAutoResponse(null)],
			["setWebSocketAutoResponse({request, response})", () => ctx.setWebSocketAutoResponse({ request: "a", response: "b" })],
			["getWebSocketAutoResponseTimestamp()", () => ctx.getWebSocketAutoResponseTimestamp()],
			["getWebSocketAutoResponseTimestamp({})", () => ctx.getWebSocketAutoResponseTimestamp({})],
			["getWebSockets(Symbol())", () => ctx.getWebSockets(Symbol())],
			["abort('a', 5)", () => ctx.abort("a", 5)],
			["new DurableObjectState()", () => new ctx.constructor()],
		];
		for (const [label, f] of calls) t.say(`${label}: ${outcome(f)}`);
		await t.observeAsync("blockConcurrencyWhile()", () => ctx.blockConcurrencyWhile());
		await t.observeAsync("blockConcurrencyWhile(5)", () => ctx.blockConcurrencyWhile(5));
	},

	"event-timeout"(t) {
		const ctx = wrong(t.ctx);
		t.observe("none set", () => ctx.getHibernatableWebSocketEventTimeout());
		const values: unknown[] = [1, 1000, 604_800_000, 604_800_001, 0, 5, undefined, 6, null, 7, -1, 1.5, 0.5, "5", "x", true, NaN, Infinity, {}, [], 4_294_967_295, 4_294_967_296, 10n];
		for (const v of values) {
			t.observe(`set ${show(v)}`, () => ctx.setHibernatableWebSocketEventTimeout(v));
			t.observe("get", () => ctx.getHibernatableWebSocketEventTimeout());
		}
		t.observe("set without an argument", () => ctx.setHibernatableWebSocketEventTimeout());
		t.observe("get", () => ctx.getHibernatableWebSocketEventTimeout());
	},

	"set-event-timeout"(t) {
		t.ctx.setHibernatableWebSocketEventTimeout(Number(t.args[0]));
	},

	"get-event-timeout"(t) {
		t.observe("event timeout", () => t.ctx.getHibernatableWebSocketEventTimeout());
	},
};
