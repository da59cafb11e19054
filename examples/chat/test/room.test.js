// The room's tests. `npm test` in examples/chat, or from the repository:
//   bin/dormouse node -- --test 'examples/chat/test/*.test.js'
import assert from "node:assert/strict";
import { on } from "node:events";
import { after, before, test } from "node:test";

// In a project of your own: import { start } from "dormouse/test";
import { start } from "../../../sdk/test/index.js";

let dormouse;
before(async () => {
  // Rooms sleep when these tests say so.
  dormouse = await start({ project: new URL("..", import.meta.url), hibernateAfter: "1h" });
});
after(() => dormouse?.stop());

/** Somebody in a room, and what they hear. */
async function enter(room, name) {
  const socket = await room.connect(`http://chat/api/room/x/websocket?name=${name}`);
  const heard = on(socket, "message");
  const hear = async (type) => {
    for (;;) {
      const news = JSON.parse((await heard.next()).value[0].data);
      if (news.type === type) return news;
    }
  };
  return { socket, hear, say: (text) => socket.send(JSON.stringify({ type: "say", text })) };
}

test("a room knows after its sleep who is there", async () => {
  const room = dormouse.env.ROOMS.getByName("sleepy");
  const ada = await enter(room, "Ada");
  assert.deepEqual((await ada.hear("welcome")).people, [{ name: "Ada", portrait: null }]);

  await dormouse.hibernate(room);
  assert.equal(await dormouse.state(room), "hibernated");
  const bob = await enter(room, "Bob");
  assert.equal((await bob.hear("welcome")).people.length, 2);
  assert.equal((await ada.hear("join")).person.name, "Bob");
  assert.equal(await dormouse.constructions(room), 2);
});

test("a message is in the database, whatever becomes of the process", async () => {
  const room = dormouse.env.ROOMS.getByName("crashed");
  const ada = await enter(room, "Ada");
  ada.say("hello");
  await ada.hear("message");
  await dormouse.crash();
  const rows = await dormouse.inside(room, (instance, ctx) => ctx.storage.sql.exec("SELECT name, text FROM messages").toArray());
  assert.deepEqual(rows.map((r) => ({ ...r })), [{ name: "Ada", text: "hello" }]);
  ada.say("still here");
  assert.equal((await ada.hear("message")).message.text, "still here");
});

test("who talks too fast is told to wait, and may talk again later", async () => {
  const room = dormouse.env.ROOMS.getByName("fast");
  const ada = await enter(room, "Ada");
  for (let i = 0; i < 11; i++) ada.say(`${i}`);
  await ada.hear("slow");
  await dormouse.advance(60_000);
  ada.say("later");
  for (let said; said?.text !== "later"; ) said = (await ada.hear("message")).message;
});
