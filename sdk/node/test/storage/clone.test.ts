// Values as bytes: the same bytes as workerd's, read from either side.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { deserialize, serialize } from "../../src/storage/index.ts";
import { show } from "./kit/show.js";
import { recordings } from "./record.ts";
import { errorKinds, kinds } from "./scenarios/values.js";

const stored: Record<string, string> = JSON.parse(readFileSync(recordings.values, "utf8"));
const makers: Record<string, () => unknown> = { ...kinds, ...errorKinds };

test("the bytes are workerd's", () => {
  const wrong = Object.entries(makers).filter(([kind, make]) => Buffer.from(serialize(make())).toString("hex") !== stored[kind]);
  assert.deepEqual(wrong.map(([kind]) => kind), []);
  assert.ok(Object.keys(makers).length >= 80);
});

test("workerd's bytes are read, and written again are the same", () => {
  for (const [kind, hex] of Object.entries(stored)) {
    const value = deserialize(Buffer.from(hex, "hex"));
    assert.equal(show(deserialize(serialize(value))), show(value), kind);
  }
});

test("a copy is fresh, and the bytes are not touched", () => {
  const bytes = serialize({ list: [1, 2] });
  const before = Buffer.from(bytes).toString("hex");
  const [a, b] = [deserialize(bytes), deserialize(bytes)] as { list: number[] }[];
  a!.list.push(3);
  assert.deepEqual(b!.list, [1, 2]);
  assert.equal(Buffer.from(bytes).toString("hex"), before);
});

test("values of the first years have no header", () => {
  const bytes = serialize({ a: "x", b: 1 });
  assert.deepEqual(deserialize(bytes.subarray(2)), { a: "x", b: 1 });
});

test("a small Buffer takes nobody else's bytes along", () => {
  const neighbour = Buffer.from("a secret of another object");
  const bytes = serialize({ b: Buffer.from("hi") });
  assert.ok(bytes.length < 64, `${bytes.length} bytes`);
  assert.ok(!Buffer.from(bytes).includes("secret"));
  assert.ok(neighbour.length > 0);
});

test("bytes that are cut short or changed are refused, and nothing worse", () => {
  for (const [kind, hex] of Object.entries(stored)) {
    const whole = Buffer.from(hex, "hex");
    for (let n = 0; n < Math.min(whole.length, 40); n++) {
      for (const bytes of [whole.subarray(0, n), Buffer.from(whole).fill(whole[n]! ^ 0x55, n, n + 1)]) {
        try {
          deserialize(bytes);
        } catch (error) {
          assert.ok(error instanceof Error, kind);
        }
      }
    }
  }
});

test("an object of a kind that only workerd knows is refused by name", () => {
  const headers = Buffer.from("ff0f5c04030100016101", "hex"); // `Headers`, as workerd stores it.
  assert.throws(() => deserialize(headers), /kind \(4\) that cannot be read here/);
});

test("getters of the author run once for a value without errors, and their errors are told", () => {
  let runs = 0;
  serialize({ get r() { runs++; return "text"; } });
  assert.equal(runs, 1);
  assert.throws(() => serialize({ get a() { throw new RangeError("mine"); } }), /^RangeError: mine$/);
  assert.throws(() => serialize({ e: new Error("e"), f() {} }), { name: "DataCloneError" });
});

test("errors deep inside, shared and in every kind of container", () => {
  const error = Object.assign(new TypeError("shared", { cause: new Error("why") }), { code: 7 });
  const value = { list: [1, , error], map: new Map<unknown, unknown>([[error, new Set([error])]]), buffer: new Uint8Array([1]) };
  const copy = deserialize(serialize(value)) as typeof value;
  const got = copy.list[2] as typeof error;
  assert.ok(got instanceof TypeError && got.cause instanceof Error && got.code === 7);
  assert.equal(got.stack, error.stack);
  assert.ok(copy.map.has(got) && (copy.map.get(got) as Set<unknown>).has(got));
  assert.ok(!(1 in copy.list) && copy.list.length === 3);
  assert.deepEqual(copy.buffer, new Uint8Array([1]));
});
