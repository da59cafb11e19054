// The synchronous key-value API, `storage.kv`.

export const syncKv = [
  {
    name: 'sync kv',
    backend: 'sql',
    steps: [
      async ({ storage, see }) => {
        const { kv } = storage;
        see('members', () => Object.getOwnPropertyNames(Object.getPrototypeOf(kv)).sort());
        see('tag', () => Object.prototype.toString.call(kv));
        see('get of nothing', () => kv.get('a'));
        see('get without key', () => kv.get());
        see('get of an array', () => kv.get(['a']));
        see('put', () => kv.put('a', { x: 1 }));
        see('get', () => kv.get('a'));
        see('put without value', () => kv.put('a'));
        see('put without anything', () => kv.put());
        see('put undefined', () => { kv.put('u', undefined); return [kv.get('u'), [...kv.list()].length]; });
        see('put object', () => kv.put({ a: 1 }));
        see('put null', () => { kv.put('n', null); return kv.get('n'); });
        see('put function', () => kv.put('f', () => 1));
        see('number as key', () => { kv.put(5, 'five'); return kv.get('5'); });
        see('delete', () => [kv.delete('5'), kv.delete('5')]);
        see('delete without key', () => kv.delete());
        see('delete several', () => kv.delete(['a', 'n']));
        await see('seen by the async API', () => storage.get('a'));
        await see('undefined seen by the async API', () => storage.get('u'));
        await see('undefined in an async list', () => storage.list());
        await see('async put seen here', async () => { await storage.put('z', 9); return kv.get('z'); });
        see('list', () => [...kv.list()]);
        see('list is', () => { const l = kv.list(); return [Object.prototype.toString.call(l), typeof l.next, typeof l[Symbol.iterator]]; });
        see('list with limit', () => [...kv.list({ limit: 1 })]);
        see('list with prefix', () => [...kv.list({ prefix: 'z' })]);
        see('list reverse', () => [...kv.list({ reverse: true })].map(([k]) => k));
        see('list start, end', () => [...kv.list({ start: 'b', end: 'v' })].map(([k]) => k));
        see('list startAfter', () => [...kv.list({ startAfter: 'a' })].map(([k]) => k));
        see('list limit 0', () => [...kv.list({ limit: 0 })]);
        see('list start and startAfter', () => kv.list({ start: 'a', startAfter: 'b' }));
        see('two lists', () => { const a = kv.list(); a.next(); kv.list(); return a.next(); });
        see('two lists, the newer one', () => { const a = kv.list(); a.next(); const b = kv.list(); try { a.next(); } catch { /* seen above */ } return b.next(); });
        see('an empty list in between', () => { const a = kv.list(); a.next(); kv.list({ prefix: 'nothing' }); return a.next(); });
        see('a finished list and a new one', () => { const a = kv.list({ limit: 1 }); a.next(); a.next(); kv.list(); return a.next(); });
        see('an async list in between', () => { const a = kv.list(); a.next(); storage.list(); return a.next(); });
        see('put while listing', () => { const r = []; for (const [k] of kv.list({ start: 'm' })) { r.push(k); if (r.length === 1) kv.put('y', 1); } return r; });
        see('delete while listing', () => { const r = []; for (const [k] of kv.list()) { r.push(k); kv.delete('y'); } return r; });
        see('snapshot', () => { const o = { v: 1 }; kv.put('o', o); o.v = 2; return kv.get('o'); });
        see('wrong this', () => { const { get } = kv; return get('a'); });
        see('options', () => kv.get('a', { allowConcurrency: true }));
      },
      ({ storage, see }) => see('kept', () => [...storage.kv.list()].length),
    ],
  },
];
