// Plain values are written without V8, in its format: each must read what the other writes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Deserializer, Serializer } from "node:v8";
import { notPlain, readPlain, writePlain } from "../../src/storage/plain.ts";

function v8Write(value: unknown): Buffer {
  const writer = new Serializer();
  writer.writeHeader();
  writer.writeValue(value);
  return writer.releaseBuffer();
}

function v8Read(bytes: Uint8Array): unknown {
  const reader = new Deserializer(bytes);
  reader.readHeader();
  return reader.readValue();
}

/** Random numbers that are the same each time. */
function random(seed: number): (below: number) => number {
  return (below) => (seed = (seed * 48271) % 2147483647) % below;
}

const texts = ["", "a", "é", "\xff", "日本", "日", "😀", "\ud800", "a\0b", "__proto", "x".repeat(127), "x".repeat(128), "日".repeat(64), "rm\"c."];
const numbers = [0, -0, 1, -1, 63, 64, -64, -65, 8191, 8192, 2 ** 30 - 1, -(2 ** 30), 2 ** 30, 2 ** 31, 2 ** 53, 1.5, -1e300, NaN, Infinity];

function make(next: (below: number) => number, depth: number): unknown {
  switch (next(depth > 4 ? 5 : 8)) {
    case 0: return [null, undefined, true, false][next(4)];
    case 1: return texts[next(texts.length)];
    case 2: return numbers[next(numbers.length)];
    case 3: return next(1000) - 500;
    case 4: return texts[next(texts.length)]!.repeat(next(4));
    case 5: return Array.from({ length: next(5) }, () => make(next, depth + 1));
    default: return Object.fromEntries(Array.from({ length: next(6) }, (_, i) => [`k${i}${texts[next(texts.length)]}`, make(next, depth + 1)]));
  }
}

test("what is written here is read by V8, and what V8 writes is read here", () => {
  const next = random(11);
  let same = 0;
  const rounds = 5000;
  for (let i = 0; i < rounds; i++) {
    const value = make(next, 0);
    const [ours, theirs] = [writePlain(value), v8Write(value)];
    assert.ok(ours !== null);
    assert.deepStrictEqual(v8Read(ours), value);
    assert.deepStrictEqual(readPlain(ours), value);
    const read = readPlain(theirs);
    // V8 of Node writes 32-bit integers, and arrays of fractions, in forms that need not be known here.
    if (read !== notPlain) assert.deepStrictEqual(read, value);
    if (theirs.equals(ours)) same++;
  }
  assert.ok(same > rounds * 0.8, `${same} of ${rounds} are the same bytes`);
});

test("what is not plain is left to V8", () => {
  const cycle: unknown[] = [];
  cycle.push(cycle);
  const shared = {};
  const deep = Array.from({ length: 100 }).reduce<unknown>((inner) => ({ inner }), 1);
  class Point {}
  for (const value of [
    1n, Symbol("s"), () => 1, new Date(), /x/, new Map(), new Set(), new Error("e"), new Uint8Array(1), new ArrayBuffer(1), Object(1),
    new Point(), Object.create(null), new Proxy({}, {}), new Proxy([], {}), [1, , 3], Object.assign([1], { a: 1 }), cycle, [shared, shared], deep,
    { 1: "a" }, "x".repeat(5000), Array.from({ length: 1000 }, () => 1), { a: { b: [new Date()] } }, (function () { return arguments; })(),
    class extends Array {}.from([1]), new (class extends Map {})(),
  ]) {
    assert.equal(writePlain(value), null, String(Object.prototype.toString.call(value)));
  }
});

test("a property called __proto__ is a property", () => {
  const value = JSON.parse('{"__proto__": {"polluted": true}, "a": 1}');
  const bytes = writePlain(value)!;
  assert.equal(readPlain(bytes), notPlain);
  assert.ok(Object.hasOwn(v8Read(bytes) as object, "__proto__"));
});

test("a getter may store something itself", () => {
  const inner: (Uint8Array | null)[] = [];
  const bytes = writePlain({ a: 1, get b() { inner.push(writePlain({ inside: "text" })); return 2; }, c: "end" })!;
  assert.deepEqual(readPlain(bytes), { a: 1, b: 2, c: "end" });
  assert.deepEqual(readPlain(inner[0]!), { inside: "text" });
  assert.throws(() => writePlain({ get a() { throw new RangeError("mine"); } }), /mine/);
  assert.deepEqual(readPlain(writePlain([1])!), [1]);
});

test("bytes that are cut short or changed are not plain, or another plain value, and nothing worse", () => {
  const next = random(5);
  for (let i = 0; i < 300; i++) {
    const bytes = writePlain(make(next, 0))!;
    for (let n = 2; n < Math.min(bytes.length, 60); n++) {
      readPlain(bytes.subarray(0, n));
      const changed = Uint8Array.from(bytes);
      changed[n] = next(256);
      readPlain(changed);
    }
  }
  assert.equal(readPlain(new Uint8Array([0xff, 15, 0x41, 0xff, 0xff, 0xff, 0xff, 0x0f])), notPlain); // An array of 4 billion.
});
