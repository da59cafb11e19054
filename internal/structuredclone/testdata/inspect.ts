/*
 * Prints values as Node does: for each expression a line of JSON with what it
 * serialises to and what util.inspect says of it.
 */

import { inspect } from "node:util";
import { Serializer } from "node:v8";

/** Writes views as V8 does by itself. */
class Plain extends Serializer {}


const loop: Record<string, unknown> = { name: "loop" };
loop["self"] = loop;
loop["list"] = [loop, { again: loop }];
const shared = { x: 1 };
const holes: unknown[] = [1, , , 4];
holes.length = 6;
const sparse: unknown[] = [];
sparse[1000] = "far";
const named = Object.assign([1, 2], { extra: true, "not an identifier": 1 });
const error = new TypeError("wrong", { cause: "x" });
error.stack = "TypeError: wrong";
const numbers = (n: number, f: (i: number) => unknown) => Array.from({ length: n }, (_, i) => f(i));

const values: unknown[] = [
  null, undefined, true, false, 0, -0, 1.5, NaN, Infinity, -Infinity, 1e21, 123456789012345680000, 1e-7, 0.000001, 5e-324, 1.7976931348623157e308,
  10n, -123456789012345678901234567890n, 0n,
  "", "plain", "it's", `it's "both"`, "it's \"all\" `three`", "it's \"a\" ${x} `", "line\nbreak", "tab\tnul\0esc\x1b\x7f\x85", "back\\slash",
  "\ud800 lone", "pair \u{1F600}", "ünï 漢字", "a long line\n".repeat(12), "x".repeat(200), "y".repeat(10_050),
  {}, [], { a: 1 }, { "a-b": 1, 1: 2, _ok: 3, "": 4, "with 'quote'": 5 }, [1, 2, 3], [[]], [{}], { a: {} },
  { a: { b: { c: { d: { e: { f: 1 } } } } } }, [[[[[[1]]]]]], { a: { b: { c: {} } } },
  numbers(7, (i) => i), numbers(100, (i) => i), numbers(101, (i) => i * 1000), numbers(150, (i) => i), numbers(8, (i) => "word" + i), numbers(30, (i) => "w".repeat(i)),
  numbers(20, (i) => i % 2 ? "s" : i), numbers(7, (i) => ({ i })), numbers(10, (i) => [i]), numbers(12, (i) => -i * 1.25), numbers(40, (i) => "é".repeat(i % 5)),
  { name: "Ada", messages: [{ from: "Ada", text: "Hello, world!", at: new Date(0) }, { from: "Bob", text: "Hi there, how are you?", at: new Date(1e12) }], count: 2 },
  { description: "a".repeat(30), other: "b".repeat(30), third: "c".repeat(30) }, { a: "a".repeat(60), b: 1 }, { a: "a".repeat(54), b: 1 }, { a: "a".repeat(55), b: 1 },
  { text: "first line of a text\nsecond line of a text, which is longer\nthird line of that text too" },
  new Map(), new Map<unknown, unknown>([["a", 1], [{ k: 1 }, [1, 2]], [new Map([[1, 2]]), new Set([1])]]), new Set(), new Set([1, "two", { three: 3 }]),
  new Map([["long", "x".repeat(70)], ["b", "y"]]),
  new Date(0), new Date(NaN), new Date(-1), new Date(8.64e15), new Date(-8.64e15), new Date(-62198755200000),
  /a+b/gi, /x\/y\n/dsuy, /[a]/v, new RegExp(""),
  Object(1), Object(-0), Object("boxed"), Object(true), Object(false), Object(5n),
  new ArrayBuffer(0), new Uint8Array([1, 2, 255]).buffer, new ArrayBuffer(100), new ArrayBuffer(101), new ArrayBuffer(110),
  new Uint8Array([1, 2, 3]), new Uint8Array(0), new Int8Array([-1, 1]), new Uint8ClampedArray([300]), new Int16Array([-300]), new Uint16Array([65535]),
  new Int32Array([1]), new Uint32Array([4294967295]), new Float32Array([0.5, -0]), new Float64Array([Math.PI]), new BigInt64Array([-5n]), new BigUint64Array([5n]),
  new Uint8Array(120), new Float64Array(20).fill(1.5), new DataView(new Uint8Array([1, 2, 3, 4]).buffer, 1, 2),
  loop, [shared, shared], holes, sparse, [, ], [undefined, , null], named, { u: undefined, n: null, h: [, 1] },
  error, { error }, [new RangeError("plain")].map((e) => { e.stack = ""; return e; }),
  { deep: numbers(8, (i) => ({ i, list: numbers(3, (j) => j) })) },
];

for (const value of values) {
  const to = new Plain();
  to.writeHeader();
  to.writeValue(value);
  const bytes = to.releaseBuffer().toString("hex");
  console.log(JSON.stringify([bytes, inspect(value, { depth: 3 })]));
}
