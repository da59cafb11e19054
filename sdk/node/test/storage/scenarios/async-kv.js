// The asynchronous key-value API: get, put, delete, list and their options.

export const asyncKv = [
  {
    name: 'async kv: get, put, delete',
    backend: 'sql',
    steps: [
      async ({ storage, see }) => {
        await see('get of nothing', () => storage.get('a'));
        await see('get without key', () => storage.get());
        await see('get undefined', () => storage.get(undefined));
        await see('get null', () => storage.get(null));
        await see('get number', () => storage.get(5));
        await see('put', () => storage.put('a', 1));
        await see('get', () => storage.get('a'));
        await see('put without value', () => storage.put('a'));
        await see('put undefined', () => storage.put('a', undefined));
        await see('put null', async () => { await storage.put('n', null); return storage.get('n'); });
        await see('put without anything', () => storage.put());
        await see('put number as key', async () => { await storage.put(7, 'seven'); return storage.get('7'); });
        await see('put null as key', () => storage.put(null, 1));
        await see('put undefined as key', () => storage.put(undefined, 1));
        await see('put object', async () => { await storage.put({ x: 1, y: 2, z: undefined }); return storage.list(); });
        await see('put array', async () => { await storage.put(['p', 'q']); return storage.get(['0', '1']); });
        await see('put object with options', () => storage.put({ x: 5 }, { allowUnconfirmed: true }));
        await see('put object with a value', () => storage.put({ x: 6 }, 'value'));
        await see('put object with a number', () => storage.put({ x: 6 }, 5));
        await see('put empty object', () => storage.put({}));
        await see('put Map', () => storage.put(new Map([['m', 1]])));
        await see('put function as value', () => storage.put('f', () => 1));
        await see('put symbol as value', () => storage.put('f', Symbol('s')));
        await see('put with options', async () => { await storage.put('o', 1, { allowUnconfirmed: true, allowConcurrency: true, noCache: true }); return storage.get('o', { allowConcurrency: true, noCache: true }); });
        await see('put with null options', () => storage.put('o', 1, null));
        await see('put with a number as options', () => storage.put('o', 1, 5));
        await see('get with bad options', () => storage.get('o', 5));
        await see('get several', () => storage.get(['x', 'a', 'missing', 'x', 'n']));
        await see('get none', () => storage.get([]));
        await see('get several, one not text', () => storage.get([1, 'x', null]));
        await see('get several, a set', () => storage.get(new Set(['x'])));
        await see('delete', () => storage.delete('a'));
        await see('delete again', () => storage.delete('a'));
        await see('delete several', () => storage.delete(['x', 'y', 'missing', 'x']));
        await see('delete none', () => storage.delete([]));
        await see('delete without key', () => storage.delete());
        await see('delete with options', () => storage.delete('n', { allowUnconfirmed: true }));
        await see('empty key', async () => { await storage.put('', 'empty'); return [await storage.get(''), await storage.delete('')]; });
        await see('key with NUL', async () => { await storage.put('a\0b', 1); await storage.put('a', 2); return storage.list({ prefix: 'a' }); });
        await see('key with emoji', async () => { await storage.put('😀', 1); return storage.get('😀'); });
        await see('lone surrogate', async () => { await storage.put('\ud800', 'lone'); return [await storage.get('\ud800'), await storage.get('\ufffd')]; });
        await see('snapshot at the call', async () => { const o = { v: 1 }; const p = storage.put('s', o); o.v = 2; await p; return storage.get('s'); });
        await see('fresh copy', async () => { const a = await storage.get('s'); a.v = 3; return [(await storage.get('s')).v, a === await storage.get('s')]; });
        await see('result is a promise', () => storage.get('s') instanceof Promise ? 'promise' : 'value');
        await see('put and get without await', async () => { storage.put('w', 1); const p = storage.get('w'); storage.put('w', 2); return [await p, await storage.get('w')]; });
        await see('getter in the object', async () => { await storage.put('g', { get v() { return 9; } }); return storage.get('g'); });
        await see('getter that throws', () => storage.put('g', { get v() { throw new RangeError('mine'); } }));
        await see('order of promises', async () => {
          const log = [];
          const a = storage.put('1', 1).then(() => log.push('put'));
          const b = storage.get('1').then(() => log.push('get'));
          const c = Promise.resolve().then(() => log.push('microtask'));
          await Promise.all([a, b, c]);
          return log.length;
        });
      },
      async ({ storage, see }) => see('kept', () => storage.get('w')),
    ],
  },
  {
    name: 'async kv: list',
    backend: 'sql',
    steps: [
      async ({ storage, see }) => {
        await see('of nothing', () => storage.list());
        for (const k of ['a', 'b', 'c', 'd', 'e', 'b1', 'b2', 'B', 'é', '😀', '\uffff']) await storage.put(k, 1);
        const keys = async (o) => [...(await storage.list(o)).keys()].join(' ');
        await see('byte order', () => keys());
        await see('undefined options', () => keys(undefined));
        await see('null options', () => keys(null));
        await see('limit', () => keys({ limit: 2 }));
        await see('limit 0', () => keys({ limit: 0 }));
        await see('limit -1', () => keys({ limit: -1 }));
        await see('limit 1.9', () => keys({ limit: 1.9 }));
        await see('limit 0.5', () => keys({ limit: 0.5 }));
        await see('limit NaN', () => keys({ limit: NaN }));
        await see('limit text', () => keys({ limit: '2' }));
        await see('limit beyond 2^32', () => keys({ limit: 2 ** 32 + 2 }));
        await see('limit Infinity', () => keys({ limit: Infinity }));
        await see('start', () => keys({ start: 'b1' }));
        await see('startAfter', () => keys({ startAfter: 'b1' }));
        await see('start and startAfter', () => keys({ start: 'a', startAfter: 'b' }));
        await see('end', () => keys({ end: 'b2' }));
        await see('start and end', () => keys({ start: 'b', end: 'c' }));
        await see('start after end', () => keys({ start: 'c', end: 'b' }));
        await see('start equals end', () => keys({ start: 'b', end: 'b' }));
        await see('prefix', () => keys({ prefix: 'b' }));
        await see('empty prefix', () => keys({ prefix: '' }));
        await see('prefix and start', () => keys({ prefix: 'b', start: 'b1' }));
        await see('prefix and start before', () => keys({ prefix: 'b', start: 'a' }));
        await see('prefix and start behind', () => keys({ prefix: 'b', start: 'c' }));
        await see('prefix and end', () => keys({ prefix: 'b', end: 'b2' }));
        await see('prefix and end behind', () => keys({ prefix: 'b', end: 'z' }));
        await see('prefix and end before', () => keys({ prefix: 'b', end: 'b' }));
        await see('prefix and startAfter', () => keys({ prefix: 'b', startAfter: 'b' }));
        await see('prefix \\uffff', () => keys({ prefix: '\uffff' }));
        await see('prefix emoji', () => keys({ prefix: '😀' }));
        await see('reverse', () => keys({ reverse: true }));
        await see('reverse and limit', () => keys({ reverse: true, limit: 2 }));
        await see('reverse, start and limit', () => keys({ reverse: true, start: 'b', end: 'e', limit: 2 }));
        await see('reverse and prefix', () => keys({ reverse: true, prefix: 'b' }));
        await see('reverse and startAfter', () => keys({ reverse: true, startAfter: 'd', end: 'f' }));
        await see('reverse as text', () => keys({ reverse: 'yes', limit: 1 }));
        await see('empty start', () => keys({ start: '', limit: 1 }));
        await see('empty end', () => keys({ end: '' }));
        await see('number as start', () => keys({ start: 5, limit: 1 }));
        await see('null as prefix', () => keys({ prefix: null }));
        await see('unknown option', () => keys({ foo: 1, limit: 1 }));
        await see('text as options', () => keys('x'));
        await see('values', () => storage.list({ start: 'a', limit: 2 }));
      },
    ],
  },
  {
    name: 'async kv: limits',
    backend: 'sql',
    differs: {
      'get 129 keys': 'the documented limit of 128 keys is enforced',
      'put 129 pairs': 'the documented limit of 128 keys is enforced',
      'delete 129 keys': 'the documented limit of 128 keys is enforced',
      'value of 3,000,000 bytes': 'the documented limit of 2 MB is enforced',
    },
    steps: [
      async ({ storage, see }) => {
        const many = (n) => Array.from({ length: n }, (_, i) => `k${i}`);
        await see('get 128 keys', async () => (await storage.get(many(128))).size);
        await see('get 129 keys', async () => (await storage.get(many(129))).size);
        await see('put 128 pairs', () => storage.put(Object.fromEntries(many(128).map((k) => [k, 1]))));
        await see('put 129 pairs', () => storage.put(Object.fromEntries(many(129).map((k) => [k, 1]))));
        await see('delete 128 keys', () => storage.delete(many(128)));
        await see('delete 129 keys', () => storage.delete(many(129)));
        await see('key of 2048 bytes', () => storage.put('x'.repeat(2048), 1));
        await see('key of 2049 bytes', () => storage.put('x'.repeat(2049), 1));
        await see('value of 131,073 bytes', () => storage.put('v', new Uint8Array(131073)));
        await see('value of 2,000,000 bytes', () => storage.put('v', new Uint8Array(2000000)));
        await see('value of 3,000,000 bytes', () => storage.put('v', new Uint8Array(3000000)));
        await see('value of 10,000,000 bytes', () => storage.put('v', new Uint8Array(10000000)));
        await see('the object goes on', async () => (await storage.get('v'))?.byteLength > 0);
      },
    ],
  },
];
