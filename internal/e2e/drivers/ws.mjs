// The chat through the package ws: compression, fragments, protocol pings and
// closes as its users have them, across a sleep of the room.
import assert from "node:assert/strict";
import { once } from "node:events";
import { finish, load, room, untilAsleep, url } from "./host.mjs";

const WebSocket = load("ws");

/** One socket, and all news that have not been waited for yet. */
class Visitor {
  static async enter(name, options) {
    const visitor = new Visitor();
    visitor.ws = new WebSocket(`${url.replace(/^http/, "ws")}/api/room/${encodeURIComponent(room)}/websocket?name=${name}`, options);
    visitor.news = [];
    visitor.ws.on("message", (data, binary) => {
      assert.equal(binary, false);
      const text = data.toString();
      visitor.news.push(text.startsWith("{") ? JSON.parse(text) : text);
    });
    await once(visitor.ws, "open");
    visitor.welcome = await visitor.hear((news) => news.type === "welcome");
    return visitor;
  }

  /** The first news that is the one; what stands before it is forgotten. */
  async hear(is) {
    for (;;) {
      const at = this.news.findIndex(is);
      if (at >= 0) return this.news.splice(0, at + 1).at(-1);
      this.news.length = 0;
      await once(this.ws, "message", { signal: AbortSignal.timeout(20_000) });
    }
  }

  say(text, options) {
    this.ws.send(JSON.stringify({ type: "say", text }), options);
  }

  hearSaid(text) {
    return this.hear((news) => news.message?.text === text);
  }
}

// One with compression, as ws offers it by itself, one without.
const ada = await Visitor.enter("Ada", { perMessageDeflate: { threshold: 0 } });
const bob = await Visitor.enter("Bob", { perMessageDeflate: false });
assert.equal(bob.ws.extensions, "");
await ada.hear((news) => news.type === "join" && news.person.name === "Bob");

const long = "A long sentence, said again and again. ".repeat(50).trim();
ada.say(long);
assert.equal((await bob.hearSaid(long)).message.name, "Ada");
bob.say("Short.");
await ada.hearSaid("Short.");

// In fragments, and with a ping between them.
const whole = JSON.stringify({ type: "say", text: "In parts." });
bob.ws.send(whole.slice(0, 9), { fin: false });
bob.ws.ping("between");
bob.ws.send(whole.slice(9, 20), { fin: false });
bob.ws.send(whole.slice(20), { fin: true });
const [pong] = await once(bob.ws, "pong");
assert.equal(pong.toString(), "between");
const { awakeSince } = await ada.hearSaid("In parts.");

ada.ws.send("ping");
await ada.hear((news) => news === "pong");

await untilAsleep();
bob.ws.ping("asleep?");
assert.equal((await once(bob.ws, "pong"))[0].toString(), "asleep?");
bob.ws.send("ping");
await bob.hear((news) => news === "pong");

bob.say("And awake again.");
const woken = await ada.hearSaid("And awake again.");
assert.equal(woken.message.name, "Bob");
assert.notEqual(woken.awakeSince, awakeSince, "the room had not left memory");

ada.ws.close(1000, "good night");
const [code] = await once(ada.ws, "close");
assert.equal(code, 1000);
assert.equal((await bob.hear((news) => news.type === "quit")).name, "Ada");
bob.ws.terminate();
finish();
