// Classes of the older key-value back-end (`new_classes`).

const KEY_LIMIT = 'workerd does not enforce the limits of the key-value back-end; Cloudflare does, with this text';

export const classic = [
  {
    name: 'kv class: what it has not',
    backend: 'kv',
    steps: [
      async ({ storage, see }) => {
        see('sql', () => storage.sql);
        see('sql.exec', () => storage.sql.exec('select 1'));
        see('kv', () => storage.kv);
        see('kv.get', () => storage.kv.get('a'));
        see('transactionSync', () => storage.transactionSync(() => 5));
        see('transactionSync, no function', () => storage.transactionSync());
        await see('getCurrentBookmark', async () => typeof await storage.getCurrentBookmark());
        await see('getBookmarkForTime', () => storage.getBookmarkForTime(1));
        await see('onNextSessionRestoreBookmark', () => storage.onNextSessionRestoreBookmark('a'));
        await see('sync', () => storage.sync());
        see('members', () => Object.getOwnPropertyNames(Object.getPrototypeOf(storage)).sort());
      },
    ],
  },
  {
    name: 'kv class: keys and values',
    backend: 'kv',
    differs: {
      'key of 2049 bytes': KEY_LIMIT,
      'get of a key of 2049 bytes': KEY_LIMIT,
      'value of 131,073 bytes': KEY_LIMIT,
      'get 129 keys': KEY_LIMIT,
      'put 129 pairs': KEY_LIMIT,
      'delete 129 keys': KEY_LIMIT,
    },
    steps: [
      async ({ storage, see }) => {
        const many = (n) => Array.from({ length: n }, (_, i) => `k${i}`);
        await see('put and get', async () => { await storage.put('a', { x: 1 }); return storage.get('a'); });
        await see('list', () => storage.list());
        await see('key of 2048 bytes', () => storage.put('x'.repeat(2048), 1));
        await see('key of 2049 bytes', () => storage.put('x'.repeat(2049), 1));
        await see('get of a key of 2049 bytes', () => storage.get('x'.repeat(2049)));
        await see('value of 131,073 bytes', () => storage.put('v', new Uint8Array(131073)));
        await see('get 129 keys', async () => (await storage.get(many(129))).size);
        await see('put 129 pairs', () => storage.put(Object.fromEntries(many(129).map((k) => [k, 1]))));
        await see('delete 129 keys', () => storage.delete(many(129)));
        await see('transaction', () => storage.transaction(async (t) => { await t.put('b', 1); return [...(await t.list({ prefix: 'b' })).keys()]; }));
        await see('rolled back', async () => { await storage.transaction(async (t) => { await t.put('c', 1); t.rollback(); }); return storage.get('c'); });
        await see('nested', () => storage.transaction(async () => storage.transaction(async (t) => { await t.put('d', 1); return 'in'; })));
        await see('alarm', async () => { await storage.setAlarm(4102444800000); return storage.getAlarm(); });
        await see('deleteAll', async () => { await storage.deleteAll(); return [(await storage.list()).size, await storage.getAlarm()]; });
      },
    ],
  },
];
