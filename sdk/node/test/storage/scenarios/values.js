// Which values survive storage, and how they come back (structured clone).

class Point { constructor(x) { this.x = x; } get double() { return this.x * 2; } }
const cycle = () => { const o = { name: 'cycle' }; o.self = o; return o; };
const shared = () => { const inner = { v: 1 }; return { a: inner, b: inner }; };

/** Kinds of value by name; also the corpus of the serialisation tests. */
export const kinds = {
  undefined: () => undefined,
  null: () => null,
  true: () => true,
  false: () => false,
  zero: () => 0,
  'negative zero': () => -0,
  integer: () => 42,
  'negative integer': () => -7,
  'integer beyond 31 bits': () => 2 ** 31,
  fraction: () => 1.5,
  NaN: () => NaN,
  Infinity: () => -Infinity,
  BigInt: () => 123456789012345678901234567890n,
  'negative BigInt': () => -1n,
  'zero BigInt': () => 0n,
  text: () => 'hello',
  'empty text': () => '',
  'latin1 text': () => 'é',
  'wide text': () => '日本😀',
  'odd wide text': () => ({ a: '日' }),
  'lone surrogate': () => '\ud800',
  object: () => ({ a: 1, b: 'x', c: null, d: undefined }),
  'nested object': () => ({ a: { b: { c: [1, { d: 2 }] } } }),
  'empty object': () => ({}),
  'integer keys': () => ({ 1: 'a', 0: 'b', x: 'c' }),
  array: () => [1, 'two', null, undefined],
  'array of numbers': () => [1, 2, 3],
  'array of fractions': () => [1.5, 2.5],
  'sparse array': () => { const a = [1]; a[5] = 6; return a; },
  'very sparse array': () => { const a = []; a[5000] = 1; return a; },
  'array with properties': () => Object.assign([1, 2], { extra: 'x' }),
  'empty array': () => [],
  date: () => new Date(1234567890123),
  'invalid date': () => new Date(NaN),
  regexp: () => /a.b/giu,
  map: () => new Map([['a', 1], [{ k: 1 }, [2]]]),
  set: () => new Set([1, 'two', { three: 3 }]),
  'empty map': () => new Map(),
  'boxed number': () => new Number(5),
  'boxed text': () => new String('x'),
  'boxed boolean': () => new Boolean(false),
  'boxed BigInt': () => Object(5n),
  ArrayBuffer: () => new Uint8Array([1, 2, 3]).buffer,
  'empty ArrayBuffer': () => new ArrayBuffer(0),
  Uint8Array: () => new Uint8Array([1, 2, 3]),
  Int8Array: () => new Int8Array([-1, 2]),
  Uint8ClampedArray: () => new Uint8ClampedArray([255, 0]),
  Int16Array: () => new Int16Array([-1, 256]),
  Uint16Array: () => new Uint16Array([1, 65535]),
  Int32Array: () => new Int32Array([-1, 1]),
  Uint32Array: () => new Uint32Array([1, 4294967295]),
  Float32Array: () => new Float32Array([1.5]),
  Float64Array: () => new Float64Array([1.5, -0]),
  BigInt64Array: () => new BigInt64Array([-1n]),
  BigUint64Array: () => new BigUint64Array([1n]),
  DataView: () => new DataView(new Uint8Array([1, 2, 3, 4]).buffer, 1, 2),
  'view into a larger buffer': () => new Uint8Array([1, 2, 3, 4]).subarray(1, 3),
  'two views of one buffer': () => { const b = new Uint8Array([1, 2, 3, 4]).buffer; return [new Uint8Array(b), new Uint16Array(b)]; },
  Float16Array: () => new Float16Array([1.5]),
  'resizable ArrayBuffer': () => new ArrayBuffer(2, { maxByteLength: 8 }),
  'class instance': () => new Point(3),
  'object without prototype': () => Object.assign(Object.create(null), { a: 1 }),
  'symbol key': () => ({ [Symbol('s')]: 1, a: 2 }),
  cycle,
  'shared reference': shared,
  'map that holds itself': () => { const m = new Map(); m.set('me', m); return m; },
};

// The stack is part of what is stored; this one is the same everywhere.
const withStack = (error) => { error.stack = `${error.name}: as if from here`; return error; };

/** Errors are stored by workerd in a form of its own. */
export const errorKinds = {
  Error: () => withStack(new Error('plain')),
  TypeError: () => withStack(new TypeError('typed')),
  RangeError: () => withStack(new RangeError('range')),
  ReferenceError: () => withStack(new ReferenceError('reference')),
  SyntaxError: () => withStack(new SyntaxError('syntax')),
  URIError: () => withStack(new URIError('uri')),
  EvalError: () => withStack(new EvalError('eval')),
  SuppressedError: () => withStack(new SuppressedError(withStack(new Error('one')), 2, 'suppressed')),
  CompileError: () => withStack(new WebAssembly.CompileError('compile')),
  LinkError: () => withStack(new WebAssembly.LinkError('link')),
  RuntimeError: () => withStack(new WebAssembly.RuntimeError('runtime')),
  AggregateError: () => withStack(new AggregateError([withStack(new Error('one'))], 'many')),
  'class of the author': () => withStack(new (class Mine extends TypeError {})('mine')),
  'Error with cause': () => withStack(new Error('outer', { cause: withStack(new TypeError('inner')) })),
  'Error with a cause that is none': () => withStack(new Error('outer', { cause: 'text' })),
  'Error with a property': () => Object.assign(withStack(new Error('props')), { code: 'E1', more: { a: [1] } }),
  'Error with another name': () => withStack(Object.assign(new Error('named'), { name: 'Mine' })),
  'Error without message': () => withStack(new Error()),
  'Error with wide text': () => withStack(new Error('日本')),
  'Error in an object': () => ({ error: withStack(new SyntaxError('nested')), after: 1 }),
  'Error in a map': () => new Map([['a', withStack(new Error('in a map'))], ['b', [1, , 3]]]),
  'Error twice': () => { const e = withStack(new Error('twice')); return [e, e, { e }]; },
  'text like an error': () => ({ a: 'sir.', b: 'rms', c: 'rEm"', d: new Date(0), e: [1, , 2] }),
};

/** What cannot be stored. */
const refused = {
  function: () => () => 1,
  'named function': () => function f() {},
  class: () => Point,
  symbol: () => Symbol('s'),
  'symbol inside': () => ({ a: [Symbol('s')] }),
  WeakMap: () => new WeakMap(),
  WeakRef: () => new WeakRef({}),
  promise: () => Promise.resolve(1),
  generator: () => (function* g() {})(),
  proxy: () => new Proxy({}, {}),
  Response: () => new Response('x'),
  Headers: () => new Headers(),
  URL: () => new URL('http://a/'),
  ReadableStream: () => new ReadableStream(),
  'object with a method': () => ({ m() {} }),
  DOMException: () => new DOMException('m', 'AbortError'),
  Blob: () => new Blob(['x']),
  AbortSignal: () => new AbortController().signal,
  detached: () => { const b = new ArrayBuffer(1); structuredClone(b, { transfer: [b] }); return b; },
  'view of a detached buffer': () => { const v = new Uint8Array(1); structuredClone(v.buffer, { transfer: [v.buffer] }); return v; },
};

const roundTrips = (name, cases) => ({
  name,
  backend: 'sql',
  steps: [
    ({ storage: { kv }, see }) => {
      for (const [kind, make] of Object.entries(cases)) see(kind, () => { kv.put(kind, make()); return kv.get(kind); });
      see('a getter survives only as its value', () => { kv.put('p', new Point(4)); return 'double' in kv.get('p'); });
    },
    ({ storage: { kv }, see }) => {
      for (const kind of Object.keys(cases)) see(kind, () => kv.get(kind));
    },
  ],
});

export const values = [
  roundTrips('values: kinds', kinds),
  roundTrips('values: errors', errorKinds),
  {
    name: 'values: refused',
    backend: 'sql',
    differs: {
      ...Object.fromEntries(['Response', 'Headers', 'URL', 'ReadableStream', 'Blob', 'AbortSignal'].map((name) =>
        [name, 'to V8 this class of Node is an ordinary object without properties'])),
      DOMException: 'the same exception; in Node code, name and message are not its own properties',
    },
    steps: [
      ({ storage: { kv }, see }) => {
        for (const [kind, make] of Object.entries(refused)) {
          see(kind, () => { kv.put('v', make()); return kv.get('v'); });
        }
      },
    ],
  },
];
