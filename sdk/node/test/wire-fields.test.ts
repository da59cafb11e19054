/*
 * Headers that are read when somebody asks are those that are read at once.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { countField, fromWired, fromWireList, rawOf, travelled } from "../src/http/headers.ts";
import { Fields, ProtocolError, Reader, Writer } from "../src/wire.ts";

type List = [string, string][];

/** A reader of a frame that has these headers, and a text behind them. */
function framed(list: List): Reader {
  const w = new Writer(16);
  w.headers(list);
  w.str("behind");
  const r = new Reader();
  r.reset(w.buffer, 0, w.at);
  return r;
}

function fieldsOf(list: List): Fields {
  const r = framed(list);
  const fields = r.fields();
  assert.equal(r.str(), "behind");
  r.done();
  return fields;
}

const lists: Record<string, List> = {
  none: [],
  one: [["host", "a"]],
  "an empty value": [["X-Empty", ""], ["after", "it"]],
  "of one name": [["set-cookie", "a=1"], ["Set-Cookie", "b=2"]],
  "bytes beyond ASCII": [["x-text", "\u00c3\u00a9\u00ff"], ["x-more", "plain"]],
  "long ones": [["cookie", "c".repeat(200)], ["x-long", "\u00e9".repeat(70_000)], ["end", "."]],
};

for (const [name, list] of Object.entries(lists)) {
  test(`headers read late, ${name}`, () => {
    assert.deepEqual(fieldsOf(list).pairs(), framed(list).headers());
    const late = fromWired(fieldsOf(list));
    const shared = travelled(late, false, null);
    assert.deepEqual(rawOf(late), rawOf(fromWireList(list, true)));
    assert.deepEqual(rawOf(shared), rawOf(late));
    assert.throws(() => shared.set("a", "b"), /immutable/);
  });
}

test("headers are counted before and after they are read", () => {
  const list: List = [["Upgrade", "WebSocket"], ["upgrade", "h2c"], ["upgraded", "websocket"], ["x", "upgrade"]];
  const late = fromWired(fieldsOf(list));
  const counted = { named: 2, are: 1 };
  assert.deepEqual(countField(late, "upgrade", "websocket"), counted);
  assert.equal(late.get("upgrade"), "WebSocket, h2c");
  assert.deepEqual(countField(late, "upgrade", "websocket"), counted);
  assert.deepEqual(countField(late, "absent", ""), { named: 0, are: 0 });
});

test("headers that are cut short are found at once", () => {
  const whole = framed([["name", "value"]]);
  for (let end = 0; end < 2 + 4 + 4 + 4 + 5; end++) {
    const r = new Reader();
    r.reset(whole.buffer, 0, end);
    assert.throws(() => r.fields(), ProtocolError, `${end} bytes`);
  }
});
