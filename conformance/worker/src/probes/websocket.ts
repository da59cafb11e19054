// The global classes: WebSocket, WebSocketPair, and Response with a socket.

import { Probes, wrong } from "../probe";
import { outcome, show } from "../show";

const server = (): WebSocket => new WebSocketPair()[1];

export const objects: Probes = {
	"websocket-class"(t) {
		const Class = wrong(WebSocket);
		const ws = wrong(server());
		for (const name of ["CONNECTING", "OPEN", "CLOSING", "CLOSED"]) {
			const long = `READY_STATE_${name}`;
			t.say(`${name}: class ${Class[name]} ${Class[long]}, prototype ${Class.prototype[name]} ${Class.prototype[long]}, instance ${ws[name]} ${ws[long]}`);
		}
		t.say(`${Object.prototype.toString.call(ws)}, ${ws.constructor === Class}, EventTarget ${ws instanceof EventTarget}`);
		t.say(`own keys ${show(Object.keys(ws))}`);
		t.say(`prototype's names ${show(Object.getOwnPropertyNames(Class.prototype).sort())}`);
		t.observe("OPEN = 5", () => (ws.OPEN = 5));
		t.observe("readyState = 5", () => (ws.readyState = 5));
		t.observe("readyState", () => ws.readyState);
		t.observe("a property of one's own", () => ((ws.mine = 1), ws.mine));
		t.observe("url", () => ws.url);
		t.observe("protocol", () => ws.protocol);
		t.observe("extensions", () => ws.extensions);
		t.observe("bufferedAmount", () => ws.bufferedAmount);
		t.observe("without new", () => Class("ws://x/"));
		t.observe("without a URL", () => new Class());
		t.observe("not a URL", () => new Class("not a url"));
		t.observe("a wrong scheme", () => new Class("ftp://x/"));
		t.observe("a fragment", () => new Class("ws://x/#f"));
		t.observe("a protocol that is no token", () => new Class("ws://127.0.0.1:1/", "a b"));
		t.observe("a protocol twice", () => new Class("ws://127.0.0.1:1/", ["a", "a"]));
	},

	"pair-object"(t) {
		const Class = wrong(WebSocketPair);
		const pair = new Class();
		t.say(`${Object.prototype.toString.call(pair)}, keys ${show(Object.keys(pair))}`);
		t.say(`0 and 1 are sockets: ${pair[0] instanceof WebSocket} ${pair[1] instanceof WebSocket}, differ ${pair[0] !== pair[1]}`);
		t.say(`iterable: ${outcome(() => [...pair].length)}`);
		t.say(`Object.values ${Object.values(pair).length}, the same ${Object.values(pair)[0] === pair[0]}`);
		t.observe("without new", () => Class());
		t.observe("readyStates", () => [pair[0].readyState, pair[1].readyState]);
	},

	"binary-type"(t) {
		const ws = wrong(server());
		t.observe("at first", () => ws.binaryType);
		for (const v of ["arraybuffer", "blob", "nodebuffer", "", undefined, 5]) {
			t.observe(`= ${show(v)}`, () => (ws.binaryType = v));
			t.observe("then", () => ws.binaryType);
		}
	},

	/** What close() checks, and in which order; each on a socket of its own. */
	"close-arguments"(t) {
		const long = "x".repeat(124);
		const tries: unknown[][] = [
			[],
			[1000],
			[1000, ""],
			[1000, "bye"],
			[undefined],
			[undefined, undefined],
			[undefined, "bye"],
			[null],
			["1000"],
			[1000.9],
			[NaN],
			[0],
			[999],
			[1001],
			[1002],
			[1003],
			[1004],
			[1005],
			[1006],
			[1007],
			[1011],
			[1014],
			[1015],
			[1016],
			[2999],
			[3000],
			[4999],
			[5000],
			[65_536 + 1000],
			[-1],
			[1000, 5],
			[1000, null],
			[1000, "x".repeat(123)],
			[1000, long],
			[1000, "é".repeat(62)],
			[1006, long],
		];
		for (const args of tries) {
			const ws = wrong(server());
			t.ctx.acceptWebSocket(ws);
			t.say(`close(${args.map(show).join(", ")}): ${outcome(() => ws.close(...args))}, readyState ${ws.readyState}`);
		}
		const never = wrong(server());
		t.observe("never accepted", () => never.close(1000));
		t.observe("never accepted, a wrong code", () => never.close(1006));
		t.observe("never accepted, a reason that is too long", () => never.close(1000, long));
		const closed = wrong(server());
		t.ctx.acceptWebSocket(closed);
		t.observe("close", () => closed.close(1000));
		t.observe("close again", () => closed.close(1000));
		t.observe("again with a wrong code", () => closed.close(1006));
		t.observe("again with a reason that is too long", () => closed.close(1000, long));
		t.observe("again with a reason and no code", () => closed.close(undefined, "bye"));
		t.observe("send after close", () => closed.send("x"));
	},

	/** Response and 101. */
	"response-rules"(t) {
		const R = wrong(Response);
		const client = () => new WebSocketPair()[0];
		const ws = client();
		const res = wrong(new R(null, { status: 101, webSocket: ws }));
		t.say(`status ${res.status}, ok ${res.ok}, body ${show(res.body)}, the socket is there ${res.webSocket === ws}, type ${show(res.statusText)}`);
		t.observe("status 200 with a socket", () => new R(null, { status: 200, webSocket: client() }).status);
		t.observe("no status with a socket", () => new R(null, { webSocket: client() }).status);
		t.observe("101 without a socket", () => new R(null, { status: 101 }).status);
		t.observe("101 with null", () => new R(null, { status: 101, webSocket: null }).status);
		t.observe("426 with null", () => new R(null, { status: 426, webSocket: null }).status);
		t.observe("101 with undefined", () => new R(null, { status: 101, webSocket: undefined }).status);
		t.observe("a body with a socket", () => new R("body", { status: 101, webSocket: client() }).status);
		t.observe("something that is no socket", () => new R(null, { status: 101, webSocket: {} }).status);
		t.observe("status 199", () => new R(null, { status: 199 }).status);
		t.observe("status 600", () => new R(null, { status: 600 }).status);
		t.observe("a plain Response's webSocket", () => new Response("x").webSocket);
		t.observe("rewrapped", () => wrong(new R(null, { status: 101, webSocket: res.webSocket })).webSocket === ws);
		t.observe("new Response(null, response)", () => wrong(new R(null, wrong(new R(null, { status: 101, webSocket: client() })))).webSocket instanceof WebSocket);
		t.observe("clone", () => wrong(new R(null, { status: 101, webSocket: client() })).clone().status);
		t.observe("webSocket is read-only", () => {
			const r = wrong(new R("x"));
			r.webSocket = 1;
			return r.webSocket;
		});
	},
};
