// The auto-response pair.

import { Probes, wrong } from "../probe";
import { show } from "../show";

export const auto: Probes = {
	"pair-class"(t) {
		const Pair = wrong(WebSocketRequestResponsePair);
		const pair = new Pair("ask", "answer");
		t.say(`${Object.prototype.toString.call(pair)}, own keys ${show(Object.keys(pair))}`);
		t.observe("request", () => pair.request);
		t.observe("response", () => pair.response);
		t.say(`getRequest ${typeof pair.getRequest}, getResponse ${typeof pair.getResponse}`);
		t.observe("what they return", () => [pair.getRequest?.(), pair.getResponse?.()]);
		t.observe("request = 'x'", () => (pair.request = "x"));
		t.observe("then request", () => pair.request);
		t.observe("without arguments", () => new Pair());
		t.observe("with one argument", () => new Pair("a"));
		t.observe("with undefined", () => new Pair("a", undefined).response);
		t.observe("with numbers", () => [new Pair(1, 2).request, new Pair(1, 2).response]);
		t.observe("with null", () => new Pair(null, "b").request);
		t.observe("without new", () => Pair("a", "b"));
		t.observe("with a symbol", () => new Pair(Symbol(), "b"));
	},

	"pair-rules"(t) {
		const ctx = wrong(t.ctx);
		const set = (request: string, response: string) => () => ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(request, response));
		const get = () => {
			const pair = ctx.getWebSocketAutoResponse();
			return pair && [pair.request.length, pair.response.length];
		};
		t.observe("none yet", get);
		t.observe("set", set("ask", "answer"));
		t.observe("get", get);
		t.say(`a fresh pair each time: ${ctx.getWebSocketAutoResponse() !== ctx.getWebSocketAutoResponse()}`);
		t.observe("a request of 2,048 bytes", set("x".repeat(2048), "answer"));
		t.observe("a request of 2,049 bytes", set("x".repeat(2049), "answer"));
		t.observe("a response of 2,048 bytes", set("ask", "x".repeat(2048)));
		t.observe("a response of 2,049 bytes", set("ask", "x".repeat(2049)));
		t.observe("a request of 1,025 characters of two bytes", set("é".repeat(1025), "answer"));
		t.observe("both too long", set("x".repeat(3000), "x".repeat(4000)));
		t.observe("a failure leaves the last", get);
		t.observe("empty strings", set("", ""));
		t.observe("get", get);
		t.observe("set()", () => ctx.setWebSocketAutoResponse());
		t.observe("get", get);
		t.observe("set again", set("ask", "answer"));
		t.observe("set(undefined)", () => ctx.setWebSocketAutoResponse(undefined));
		t.observe("get", get);
	},

	"set-pair": (t) => t.ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(t.args[0] ?? "", t.args[1] ?? "")),

	"unset-pair": (t) => t.ctx.setWebSocketAutoResponse(),

	"get-pair"(t) {
		const pair = t.ctx.getWebSocketAutoResponse();
		t.say(pair ? `pair ${show(pair.request)} ${show(pair.response)}` : `pair ${pair}`);
	},

	/** Whether there is a timestamp, and whether it has moved since the last call. */
	timestamp(t) {
		const at = t.ctx.getWebSocketAutoResponseTimestamp(t.ws ?? t.socket(t.args[0]));
		const last = t.memory.get("timestamp");
		t.memory.set("timestamp", at?.getTime());
		if (at === null) return t.say("timestamp null");
		const age = Date.now() - at.getTime();
		const moved = last === undefined ? "first seen" : at.getTime() > (last as number) ? "later than the last" : "the same as the last";
		t.say(`timestamp ${at.constructor.name}, ${age > -1000 && age < 60_000 ? "of this minute" : `off by ${age} ms`}, ${moved}`);
	},

	"timestamp-errors"(t) {
		const [client, server] = Object.values(new WebSocketPair());
		t.observe("never accepted", () => t.ctx.getWebSocketAutoResponseTimestamp(server));
		server.accept();
		t.observe("a standard socket", () => t.ctx.getWebSocketAutoResponseTimestamp(server));
		t.observe("the other end", () => t.ctx.getWebSocketAutoResponseTimestamp(client));
	},
};
