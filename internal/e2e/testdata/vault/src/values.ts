// A value of every kind that can be stored, and a text that says all of a value.

const loop: Record<string, unknown> = { name: "loop" };
loop.self = loop;
const shared = { shared: true };
const sparse: unknown[] = [];
sparse[200] = "far";

export const values: Record<string, unknown> = {
  null: null,
  undefined: undefined,
  booleans: [true, false],
  numbers: [0, -0, 1, -1, 2 ** 30, 2 ** 31, -(2 ** 31), 2 ** 53, 0.1, NaN, Infinity, -Infinity, 5e-324],
  bigints: [0n, 1n, -1n, 2n ** 64n, -(2n ** 200n)],
  texts: ["", "plain", "ünïcode", "漢字", "\u{1F600}", "nul\0inside", "\ud800 lone"],
  boxed: [Object(true), Object(1.5), Object("boxed"), Object(5n)],
  dates: [new Date(0), new Date(1e12), new Date(NaN)],
  patterns: [/a+b/gi, /x\/y/su],
  array: [1, [2, [3]], { four: 4 }],
  holes: [1, , 3],
  sparse,
  object: { a: 1, "with space": 2, 3: 3, nested: { deep: { deeper: true } } },
  map: new Map<unknown, unknown>([["a", 1], [{ k: 1 }, new Set([1, "two"])]]),
  set: new Set([1, "two", { three: 3 }]),
  buffer: new Uint8Array([1, 2, 3]).buffer,
  int8: new Int8Array([-1, 1]),
  uint8: new Uint8Array([0, 255]),
  clamped: new Uint8ClampedArray([300]),
  int16: new Int16Array([-300]),
  uint16: new Uint16Array([65535]),
  int32: new Int32Array([-70000]),
  uint32: new Uint32Array([4294967295]),
  float32: new Float32Array([0.5]),
  float64: new Float64Array([Math.PI]),
  bigint64: new BigInt64Array([-5n]),
  biguint64: new BigUint64Array([5n]),
  view: new DataView(new Uint8Array([9, 8, 7, 6]).buffer, 1, 2),
  error: Object.assign(new TypeError("wrong"), { code: 7 }),
  cause: new Error("outer", { cause: new RangeError("inner") }),
  loop,
  shared: [shared, shared],
};

/** The value with all its kinds; stacks of errors are left out. */
export function show(value: unknown, above: unknown[] = []): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value !== "object" || value === null) return Object.is(value, -0) ? "-0" : String(value);
  const depth = above.indexOf(value);
  if (depth >= 0) return `(^${above.length - depth})`;
  const inside = [...above, value];
  const bytes = (b: ArrayBufferLike) => `<${[...new Uint8Array(b)].join(" ")}>`;
  const own = () =>
    Object.entries(value)
      .filter(([k]) => k !== "stack")
      .map(([k, v]) => `${JSON.stringify(k)}: ${show(v, inside)}`)
      .join(", ");
  if (value instanceof Date) return `Date(${value.getTime()})`;
  if (value instanceof RegExp) return String(value);
  if (value instanceof Map) return `Map{${[...value].map(([k, v]) => `${show(k, inside)} => ${show(v, inside)}`).join(", ")}}`;
  if (value instanceof Set) return `Set{${[...value].map((v) => show(v, inside)).join(", ")}}`;
  if (value instanceof ArrayBuffer) return `ArrayBuffer${bytes(value)}`;
  if (ArrayBuffer.isView(value)) return `${value.constructor.name}(${value.byteOffset}, ${value.byteLength})${bytes(value.buffer)}`;
  if (value instanceof Error) {
    const cause = value.cause === undefined ? "" : `, cause ${show(value.cause, inside)}`;
    return `${value.constructor.name}(${JSON.stringify(value.message)}${cause}, {${own()}})`;
  }
  if (Array.isArray(value)) return `[${value.length}: ${own()}]`;
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  if (kind !== "Object") return `${kind}(${show(value.valueOf(), inside)})`;
  return `{${own()}}`;
}

/** Whether two things are the same object after they were stored. */
export function sharing(value: unknown): boolean {
  return Array.isArray(value) && value[0] === value[1];
}
