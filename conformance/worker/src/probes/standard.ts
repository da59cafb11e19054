// Sockets that are no hibernatable ones: accept(), new WebSocket, and the other
// end of a pair.

import { Probe, Probes, sleep, wrong } from "../probe";
import { outcome, show } from "../show";

/** Writes down what a socket hears. */
function hear(t: Probe, name: string, ws: WebSocket, say = t.say): void {
	ws.addEventListener("open", () => say(`${name} open, readyState ${ws.readyState}`));
	ws.addEventListener("message", (e) => {
		const data = e.data as unknown;
		say(`${name} message ${show(data)}, type ${e.type}, target is the socket ${e.target === ws}`);
	});
	ws.addEventListener("close", (e) => say(`${name} close ${e.code} ${show(e.reason)} ${e.wasClean ? "clean" : "not clean"}, readyState ${ws.readyState}`));
	ws.addEventListener("error", (e) => say(`${name} error ${show(wrong(e).message)}, readyState ${ws.readyState}`));
}

export const standard: Probes = {
	/** Both ends in one place. */
	async "pair-inside"(t) {
		const [a, b] = Object.values(new WebSocketPair());
		hear(t, "a", a);
		hear(t, "b", b);
		a.accept();
		b.accept();
		a.send("to b");
		b.send("to a");
		a.send(new Uint8Array([1, 2]));
		await sleep(20);
		a.close(4001, "done");
		t.say(`a readyState ${a.readyState}`);
		await sleep(20);
		t.say(`then a ${a.readyState}, b ${b.readyState}`);
		t.say(`send: ${outcome(() => a.send("late"))}`);
		t.say(`b sends: ${outcome(() => b.send("late"))}`);
		t.say(`b closes: ${outcome(() => b.close(1000))}`);
		await sleep(20);
		t.say(`then a ${a.readyState}, b ${b.readyState}`);
	},

	async "pair-half-open"(t) {
		const [a, b] = Object.values(new WebSocketPair());
		hear(t, "a", a);
		hear(t, "b", b);
		wrong(a).accept({ allowHalfOpen: true });
		wrong(b).accept({ allowHalfOpen: true });
		a.close(4001, "half");
		await sleep(20);
		t.say(`a ${a.readyState}, b ${b.readyState}`);
		t.say(`b sends: ${outcome(() => b.send("from the open half"))}`);
		await sleep(20);
		t.say(`b closes: ${outcome(() => b.close(4002, "both"))}`);
		await sleep(20);
		t.say(`then a ${a.readyState}, b ${b.readyState}`);
	},

	/** Messages before accept() wait; those without a listener are lost. */
	async "pair-queues"(t) {
		const [a, b] = Object.values(new WebSocketPair());
		a.accept();
		a.send("before b accepted");
		await sleep(20);
		hear(t, "b", b);
		b.accept();
		await sleep(20);
		t.say("b has accepted");
		a.send("after");
		await sleep(20);
		a.close();
		await sleep(20);
	},

	async "pair-handlers"(t) {
		const [a, b] = Object.values(new WebSocketPair());
		const w = wrong(b);
		w.onmessage = (e: MessageEvent) => t.say(`onmessage ${show(e.data)}`);
		w.onclose = (e: CloseEvent) => t.say(`onclose ${e.code}`);
		t.observe("typeof onmessage", () => typeof w.onmessage);
		a.accept();
		b.accept();
		a.send("x");
		await sleep(20);
		w.binaryType = "arraybuffer";
		a.send(new Uint8Array([1]));
		await sleep(20);
		w.binaryType = "blob";
		hear(t, "b", b);
		a.send(new Uint8Array([1]));
		await sleep(20);
		a.close(1000, "bye");
		await sleep(20);
	},

	/** A standard socket to a client outside: accept() instead of acceptWebSocket. */
	"outbound": async (t) => {
		const ws = new WebSocket(t.args[0], t.args.slice(1));
		t.say(`readyState ${ws.readyState}, url ${show(ws.url)?.replace(/\d+\.\d+\.\d+\.\d+:\d+/, "origin")}`);
		t.observe("send while connecting", () => ws.send("early"));
		hear(t, "socket", ws);
		await new Promise((done) => ws.addEventListener("open", done));
		t.say(`protocol ${show(ws.protocol)}, extensions ${show(ws.extensions)}`);
		ws.send("hello origin");
		await sleep(100);
		ws.send(new Uint8Array([1, 2, 3]));
		await sleep(100);
		ws.close(4005, "enough");
		t.say(`after close readyState ${ws.readyState}`);
		await sleep(200);
		t.say(`then ${ws.readyState}`);
	},

	"outbound-refused": async (t) => {
		const ws = new WebSocket("ws://127.0.0.1:1/");
		ws.addEventListener("error", () => t.say(`error, readyState ${ws.readyState}`));
		ws.addEventListener("close", (e) => t.say(`close ${e.code} ${e.wasClean}`));
		await sleep(200);
		t.say(`readyState ${ws.readyState}`);
	},

	"outbound-fetch": async (t) => {
		const res = await fetch(t.args[0].replace("ws:", "http:"), { headers: { Upgrade: "websocket" } });
		const ws = wrong(res).webSocket as WebSocket;
		t.say(`status ${res.status}, socket ${ws instanceof WebSocket}`);
		t.observe("send before accept", () => ws.send("early"));
		t.observe("acceptWebSocket", () => t.ctx.acceptWebSocket(ws));
		hear(t, "socket", ws);
		ws.accept();
		ws.send("hello");
		await sleep(100);
		ws.close(1000, "bye");
		await sleep(200);
		t.say(`readyState ${ws.readyState}`);
	},

	"outbound-keep"(t) {
		t.memory.set("outbound", new WebSocket(t.args[0]));
	},

	/** Joins another object from this one and keeps the socket. */
	async join(t) {
		const other = t.ctx.id.name?.replace(/[^.]*$/, t.args[0]) ?? "";
		const res = await t.env.Room.getByName(other).fetch(`http://inside/ws/Room/${other}?tag=${t.args[1]}`, { headers: { Upgrade: "websocket" } });
		const ws = wrong(res).webSocket as WebSocket;
		t.say(`status ${res.status}, socket ${ws instanceof WebSocket}, readyState ${ws.readyState}`);
		ws.accept();
		const heard: string[] = [];
		hear(t, "socket", ws, (line) => heard.push(line));
		t.memory.set("joined", { ws, heard });
	},

	/** Says something on the kept socket and tells what it has heard. */
	async tell(t) {
		const { ws, heard } = t.memory.get("joined") as { ws: WebSocket; heard: string[] };
		if (t.args.length) ws.send(t.args.join(" "));
		await sleep(200);
		for (const line of heard.splice(0)) t.say(line);
		t.say(`readyState ${ws.readyState}`);
	},

	async leave(t) {
		const { ws, heard } = t.memory.get("joined") as { ws: WebSocket; heard: string[] };
		ws.close(Number(t.args[0]), t.args[1]);
		await sleep(200);
		for (const line of heard.splice(0)) t.say(line);
		t.say(`readyState ${ws.readyState}`);
	},

	async "join-without-upgrade"(t) {
		const other = t.ctx.id.name?.replace(/[^.]*$/, t.args[0]) ?? "";
		await t.observeAsync("without the Upgrade header", async () => (await t.env.Room.getByName(other).fetch(`http://inside/ws/Room/${other}?tag=none`)).status);
	},
};
