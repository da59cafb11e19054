// acceptWebSocket, getWebSockets, getTags, and what a handler can do with the
// socket that spoke.

import { Probe, Probes, sleep, wrong } from "../probe";
import { outcome, show } from "../show";

const pair = (): [WebSocket, WebSocket] => {
	const { 0: client, 1: server } = new WebSocketPair();
	return [client, server];
};

/** Sockets made by a probe stay listed until their other end goes; tags name them. */
const list = (t: Probe, sockets: WebSocket[]): string => show(sockets.map((ws) => t.ctx.getTags(ws)[0] ?? "-"));

export const sockets: Probes = {
	"accept-errors"(t) {
		const ctx = wrong(t.ctx);
		const fresh = () => pair()[1];
		{
			const ws = fresh();
			t.observe("accept", () => ctx.acceptWebSocket(ws));
			t.observe("the same again", () => ctx.acceptWebSocket(ws));
			t.observe("accept() after acceptWebSocket", () => ws.accept());
			t.observe("its readyState", () => ws.readyState);
		}
		{
			const ws = fresh();
			t.observe("accept() first", () => ws.accept());
			t.observe("acceptWebSocket after accept()", () => ctx.acceptWebSocket(ws));
			t.observe("accept() twice", () => ws.accept());
		}
		{
			const [client, server] = pair();
			client.accept();
			t.observe("acceptWebSocket when the other end was accepted", () => ctx.acceptWebSocket(server));
		}
		{
			const [client, server] = pair();
			ctx.acceptWebSocket(server);
			t.observe("acceptWebSocket of both ends", () => ctx.acceptWebSocket(client));
		}
		{
			const [client, server] = pair();
			new Response(null, { status: 101, webSocket: client });
			t.observe("acceptWebSocket when the other end is in a Response that was not returned", () => ctx.acceptWebSocket(server));
		}
		{
			const ws = fresh();
			ws.serializeAttachment("early");
			t.observe("an attachment before accept", () => ws.deserializeAttachment());
			ctx.acceptWebSocket(ws);
			t.observe("and after", () => ws.deserializeAttachment());
		}
		{
			const ws = fresh();
			t.observe("close before accept", () => ws.close(1000));
			t.observe("send before accept", () => ws.send("x"));
			t.observe("readyState before accept", () => ws.readyState);
		}
		t.observe("an outbound socket", () => {
			const ws = new WebSocket("ws://127.0.0.1:1/");
			try {
				ctx.acceptWebSocket(ws);
			} finally {
				ws.close();
			}
		});
		t.observe("accept() of an outbound socket", () => {
			const ws = new WebSocket("ws://127.0.0.1:1/");
			try {
				ws.accept();
			} finally {
				ws.close();
			}
		});
	},

	"accept-tags"(t) {
		const ctx = wrong(t.ctx);
		const cases: [string, unknown][] = [
			["none", undefined],
			["[]", []],
			["one", ["a"]],
			["order is kept", ["c", "a", "b"]],
			["a double is dropped", ["a", "b", "a"]],
			["an empty one", [""]],
			["coerced", [1, null, undefined, true, { toString: () => "object" }]],
			["ten", [..."0123456789"]],
			["eleven", [..."0123456789a"]],
			["ten and a double", [..."0123456789", "0"]],
			["nine and five doubles", [..."012345678", ..."01234"]],
			["256 bytes", ["x".repeat(256)]],
			["257 bytes", ["x".repeat(257)]],
			["128 characters of two bytes", ["é".repeat(128)]],
			["129 characters of two bytes", ["é".repeat(129)]],
			["a string", "abc"],
			["null", null],
			["a Set", new Set(["a"])],
			["an object", { 0: "a", length: 1 }],
			["a number", 5],
		];
		for (const [label, tags] of cases) {
			t.observe(label, () => {
				const [, ws] = pair();
				ctx.acceptWebSocket(ws, tags);
				return ctx.getTags(ws);
			});
		}
		t.observe("accept without the second argument", () => {
			const [, ws] = pair();
			ctx.acceptWebSocket(ws);
			return ctx.getTags(ws);
		});
		t.observe("a refused socket can be accepted after all", () => {
			const [, ws] = pair();
			try {
				ctx.acceptWebSocket(ws, ["x".repeat(257)]);
			} catch {}
			ctx.acceptWebSocket(ws, ["second try"]);
			return ctx.getTags(ws);
		});
	},

	"get-tags-errors"(t) {
		const [, never] = pair();
		t.observe("never accepted", () => t.ctx.getTags(never));
		const [, standard] = pair();
		standard.accept();
		t.observe("accepted with accept()", () => t.ctx.getTags(standard));
		const [client, server] = pair();
		t.ctx.acceptWebSocket(server, ["a", "b"]);
		t.observe("the other end of an accepted one", () => t.ctx.getTags(client));
		t.observe("an accepted one", () => t.ctx.getTags(server));
		const first = t.ctx.getTags(server);
		t.observe("a fresh array each time", () => t.ctx.getTags(server) !== first);
		first.push("c");
		t.observe("a change of it is lost", () => t.ctx.getTags(server));
	},

	/** Lists of the sockets that the script has connected. */
	list(t) {
		const ctx = wrong(t.ctx);
		t.say(`all ${list(t, t.ctx.getWebSockets())}`);
		for (const tag of t.args) t.say(`${show(tag)} ${list(t, t.ctx.getWebSockets(tag))}`);
		if (t.args.length) return;
		t.say(`undefined ${list(t, ctx.getWebSockets(undefined))}`);
		t.say(`null ${list(t, ctx.getWebSockets(null))}`);
		t.say(`unknown ${list(t, t.ctx.getWebSockets("nobody"))}`);
		t.say(`"" ${list(t, t.ctx.getWebSockets(""))}`);
		t.say(`an array ${t.ctx.getWebSockets().constructor.name}, fresh ${t.ctx.getWebSockets() !== t.ctx.getWebSockets()}`);
	},

	count: (t) => t.say(`${t.ctx.getWebSockets().length} sockets`),

	/** Sockets whose other end never leaves the object. */
	"list-unreturned"(t) {
		const [, server] = pair();
		t.ctx.acceptWebSocket(server, ["unreturned"]);
		t.say(`listed ${t.ctx.getWebSockets("unreturned").length}, the same object ${t.ctx.getWebSockets("unreturned")[0] === server}`);
		t.say(`readyState ${server.readyState}`);
		t.observe("close", () => server.close(1000, "done"));
		t.say(`readyState ${server.readyState}, listed ${t.ctx.getWebSockets("unreturned").length}`);
	},

	/** Is the socket the object that it was? */
	mark(t) {
		const ws = t.ws ?? t.socket(t.args[0]);
		(ws as unknown as { mark: string }).mark = "here";
		t.memory.set("marked", ws);
		t.say("marked");
	},

	marked(t) {
		const ws = t.ws ?? t.socket(t.args[0]);
		t.say(`mark ${show((ws as unknown as { mark?: string }).mark)}, same object ${t.memory.get("marked") === ws}`);
	},

	/** Facts about the socket that a hibernation must not change. */
	facts(t) {
		const ws = t.ws ?? t.socket(t.args[0]);
		t.say(`readyState ${ws.readyState}, url ${show(ws.url)}, protocol ${show(ws.protocol)}, extensions ${show(ws.extensions)}, binaryType ${show(wrong(ws).binaryType)}`);
		t.say(`tags ${show(t.ctx.getTags(ws))}, attachment ${show(ws.deserializeAttachment())}`);
	},

	// What a message can ask of the socket that it came by.

	send: (t) => (t.ws ?? t.socket()).send(t.args.join(" ")),

	/** Sends to all sockets, or to those with a tag. */
	"send-all"(t) {
		for (const ws of t.ctx.getWebSockets(t.args[1])) ws.send(t.args[0]);
	},

	"send-to": (t) => t.socket(t.args[0]).send(t.args[1]),

	async "send-late"(t) {
		await sleep(Number(t.args[0]));
		try {
			t.ws?.send(t.args[1]);
			t.say(`sent, readyState ${t.ws?.readyState}`);
		} catch (e) {
			t.say(String(e));
		}
	},

	close(t) {
		const ws = t.ws ?? t.socket();
		const [code, ...reason] = t.args;
		if (code === undefined) ws.close();
		else if (reason.length) ws.close(Number(code), reason.join(" "));
		else ws.close(Number(code));
		t.say(`readyState ${ws.readyState}, listed ${t.ctx.getWebSockets().includes(ws)}`);
	},

	"try-send"(t) {
		const ws = t.ws ?? t.socket(t.args[0]);
		t.say(`send: ${outcome(() => ws.send("tried"))}, readyState ${ws.readyState}`);
	},

	"try-close"(t) {
		const ws = t.ws ?? t.socket(t.args[0]);
		t.say(`close: ${outcome(() => ws.close(4000, "again"))}, readyState ${ws.readyState}`);
	},

	/** Every kind of thing that send() takes, in order. */
	"send-kinds"(t) {
		const ws = wrong(t.ws);
		const kinds: [string, unknown][] = [
			["string", "text"],
			["empty string", ""],
			["number", 5],
			["null", null],
			["undefined", undefined],
			["object", { a: 1 }],
			["ArrayBuffer", new Uint8Array([1, 2]).buffer],
			["Uint8Array", new Uint8Array([3, 4])],
			["a part of a buffer", new Uint8Array([1, 2, 3, 4]).subarray(1, 3)],
			["DataView", new DataView(new Uint8Array([5]).buffer)],
			["Uint16Array", new Uint16Array([0x0201])],
			["an empty buffer", new ArrayBuffer(0)],
			["a lone surrogate", "\ud800"],
			["Blob", new Blob(["x"])],
		];
		for (const [label, value] of kinds) t.observe(label, () => ws.send(value));
		t.observe("nothing", () => ws.send());
	},

	/** A buffer that is changed after send() was sent as it was. */
	"send-snapshot"(t) {
		const bytes = new Uint8Array([1, 2, 3]);
		t.ws?.send(bytes);
		bytes.fill(9);
	},

	/** Listeners on a hibernatable socket never hear. */
	listen(t) {
		t.ws?.addEventListener("message", () => t.say("a listener heard"));
		t.ws?.addEventListener("close", () => t.say("a listener heard the close"));
	},

	"set-binary-type"(t) {
		const ws = wrong(t.ws ?? t.socket());
		ws.binaryType = t.args[0];
		t.say(`binaryType ${show(ws.binaryType)}`);
	},

	/** Sends before and behind a write; the order must hold. */
	async "send-around-write"(t) {
		t.ws?.send("before");
		t.ctx.storage.kv.put("written", 1);
		t.ws?.send("behind");
		await t.ctx.storage.get("written");
		t.ws?.send("last");
	},

	/** Waits longer than the event timeout, then tries its storage. */
	async overstay(t) {
		await sleep(Number(t.args[0]));
		t.say("went on");
	},

	"delete-all": (t) => t.ctx.storage.deleteAll(),
};
