// Implicit transactions of a turn, transaction(), transactionSync(), deferred constraints.

const count = (sql) => sql.exec('select count(*) as n from t').one().n;
const fresh = (sql) => sql.exec('create table if not exists t (a)');

export const transactions = [
  {
    name: 'transactionSync',
    backend: 'sql',
    steps: [
      ({ storage, see }) => {
        const { sql } = storage;
        fresh(sql);
        see('returns the value', () => storage.transactionSync(() => 42));
        see('commits', () => { storage.transactionSync(() => sql.exec('insert into t values (1)')); return count(sql); });
        see('throws', () => storage.transactionSync(() => { sql.exec('insert into t values (2)'); throw new RangeError('mine'); }));
        see('rolled back', () => count(sql));
        see('nested', () => {
          storage.transactionSync(() => {
            sql.exec('insert into t values (3)');
            try {
              storage.transactionSync(() => { sql.exec('insert into t values (4)'); throw new Error('inner'); });
            } catch { /* only the inner one goes */ }
          });
          return count(sql);
        });
        see('outer fails after inner succeeded', () => storage.transactionSync(() => {
          storage.transactionSync(() => sql.exec('insert into t values (5)'));
          throw new Error('outer');
        }));
        see('both are gone', () => count(sql));
        see('not a function', () => storage.transactionSync(5));
        see('nothing', () => storage.transactionSync());
        see('throws undefined', () => storage.transactionSync(() => { throw undefined; }));
        see('SQL error inside is caught', () => {
          storage.transactionSync(() => { try { sql.exec('selec'); } catch { /* goes on */ } sql.exec('insert into t values (6)'); });
          return count(sql);
        });
        see('kv inside', () => { try { storage.transactionSync(() => { storage.kv.put('k', 1); throw 0; }); } catch { /* wanted */ } return storage.kv.get('k'); });
        see('cursor open at the end', () => storage.transactionSync(() => sql.exec('select * from t')).toArray().length);
        see('cursor open at a rollback', () => {
          let c;
          try { storage.transactionSync(() => { c = sql.exec('select * from t'); c.next(); sql.exec('insert into t values (7)'); throw 0; }); } catch { /* wanted */ }
          return c.toArray().length;
        });
        see('create table rolled back', () => {
          try { storage.transactionSync(() => { sql.exec('create table gone (a)'); throw 0; }); } catch { /* wanted */ }
          return sql.exec('select * from gone').toArray();
        });
        see('64 levels', () => {
          const go = (n) => n === 0 ? 'deep' : storage.transactionSync(() => go(n - 1));
          return go(64);
        });
      },
      async ({ storage, see }) => {
        const { sql } = storage;
        await see('async function', async () => {
          const p = storage.transactionSync(async () => { sql.exec('insert into t values (8)'); await null; sql.exec('insert into t values (9)'); throw new Error('late'); });
          return [p instanceof Promise, count(sql), await p.catch((e) => e.message), count(sql)];
        });
      },
      ({ storage, see }) => {
        see('an existing key can be seen and undone', () => {
          try { storage.transactionSync(() => { storage.sql.exec('delete from t'); throw 0; }); } catch { /* wanted */ }
          return count(storage.sql);
        });
      },
    ],
  },
  {
    name: 'transaction: commit and rollback',
    backend: 'sql',
    steps: [
      async ({ storage, see }) => {
        const { sql } = storage;
        fresh(sql);
        await see('returns the value', () => storage.transaction(async () => 42));
        await see('sync callback', () => storage.transaction(() => 43));
        await see('no argument', () => storage.transaction());
        await see('commits', async () => { await storage.transaction(async (txn) => { await txn.put('a', 1); }); return storage.get('a'); });
        await see('throws', () => storage.transaction(async (txn) => { await txn.put('b', 1); throw new RangeError('mine'); }));
        await see('rolled back', () => storage.get('b'));
        await see('throws in a sync callback', () => storage.transaction(() => { throw new RangeError('sync'); }));
        await see('rollback()', () => storage.transaction(async (txn) => { await txn.put('c', 1); txn.rollback(); return 'value'; }));
        await see('gone', () => storage.get('c'));
        await see('rollback() returns', () => storage.transaction(async (txn) => txn.rollback()));
        await see('rollback twice', () => storage.transaction(async (txn) => { txn.rollback(); txn.rollback(); return 'fine'; }));
        await see('get after rollback', () => storage.transaction(async (txn) => { txn.rollback(); return txn.get('a'); }));
        await see('put after rollback', () => storage.transaction(async (txn) => { txn.rollback(); return txn.put('a', 5); }));
        await see('list after rollback', () => storage.transaction(async (txn) => { txn.rollback(); return txn.list(); }));
        await see('delete after rollback', () => storage.transaction(async (txn) => { txn.rollback(); return txn.delete('a'); }));
        await see('getAlarm after rollback', () => storage.transaction(async (txn) => { txn.rollback(); return txn.getAlarm(); }));
        await see('setAlarm after rollback', () => storage.transaction(async (txn) => { txn.rollback(); return txn.setAlarm(Date.now() + 1e6); }));
        await see('deleteAlarm after rollback', () => storage.transaction(async (txn) => { txn.rollback(); return txn.deleteAlarm(); }));
        await see('storage after rollback', () => storage.transaction(async (txn) => { txn.rollback(); await storage.put('d', 1); return storage.get('d'); }));
        await see('and it stays', () => storage.get('d'));
        await see('deleteAll inside', () => storage.transaction(async (txn) => txn.deleteAll()));
        await see('storage.deleteAll inside', () => storage.transaction(async () => storage.deleteAll()));
        await see('sql inside', async () => { await storage.transaction(async () => { sql.exec('insert into t values (1)'); await null; sql.exec('insert into t values (2)'); }); return count(sql); });
        await see('sql inside, thrown', () => storage.transaction(async () => { sql.exec('insert into t values (3)'); throw new Error('no'); }));
        await see('sql rolled back', () => count(sql));
        await see('storage.put inside, thrown', () => storage.transaction(async () => { await storage.put('e', 1); throw new Error('no'); }));
        await see('storage.put rolled back', () => storage.get('e'));
        await see('transactionSync inside', async () => { await storage.transaction(async () => { storage.transactionSync(() => sql.exec('insert into t values (4)')); }); return count(sql); });
        await see('members of txn', () => storage.transaction(async (txn) => [Object.prototype.toString.call(txn), Object.getOwnPropertyNames(Object.getPrototypeOf(txn)).sort()]));
        await see('txn kept', async () => { let kept; await storage.transaction(async (txn) => { kept = txn; }); return kept.put('a', 1); });
        await see('txn kept, get', async () => { let kept; await storage.transaction(async (txn) => { kept = txn; }); return kept.get('a'); });
        await see('txn kept, rollback', async () => { let kept; await storage.transaction(async (txn) => { kept = txn; }); return kept.rollback(); });
        await see('txn kept after a throw', async () => { let kept; await storage.transaction(async (txn) => { kept = txn; throw 0; }).catch(() => {}); return kept.get('a'); });
        await see('order of the callback', async () => {
          const log = [];
          const p = storage.transaction(async () => { log.push('inside'); });
          log.push('after the call');
          await p;
          return log;
        });
      },
    ],
  },
  {
    name: 'transaction: nested and across turns',
    backend: 'sql',
    differs: { 'rollback within transactionSync': 'workerd fails within itself' },
    steps: [
      async ({ storage, see }) => {
        const { sql } = storage;
        fresh(sql);
        const put = (v) => sql.exec('insert into t values (?)', v);
        await see('inner commits, outer commits', async () => { await storage.transaction(async () => { put(1); await storage.transaction(async () => { put(2); }); }); return count(sql); });
        await see('inner throws', () => storage.transaction(async () => { put(3); await storage.transaction(async () => { put(4); throw new Error('inner'); }).catch(() => {}); return count(sql); }));
        await see('only the inner is gone', () => count(sql));
        await see('outer throws', () => storage.transaction(async () => { await storage.transaction(async () => { put(5); }); throw new Error('outer'); }));
        await see('all gone', () => count(sql));
        await see('inner rollback()', async () => { await storage.transaction(async () => { put(6); await storage.transaction(async (t) => { put(7); t.rollback(); }); }); return count(sql); });
        await see('outer rollback with inner running', () => storage.transaction(async (outer) => { await storage.transaction(async () => { outer.rollback(); }); }));
        await see('outer put while inner runs', () => storage.transaction(async (outer) => { await storage.transaction(async () => { await outer.put('x', 1); }); return storage.get('x'); }));
        await see('write before, not part of it', async () => { put(8); await storage.transaction(async (t) => { t.rollback(); }); return count(sql); });
        await see('two at once run one after the other', async () => {
          const log = [];
          const one = storage.transaction(async () => { log.push('a1'); await new Promise((r) => setTimeout(r, 5)); log.push('a2'); });
          const two = storage.transaction(async () => { log.push('b1'); await null; log.push('b2'); });
          await Promise.all([one, two]);
          return log;
        });
        await see('timer inside', async () => {
          await storage.transaction(async () => { put(9); await new Promise((r) => setTimeout(r, 5)); put(10); });
          return count(sql);
        });
        await see('inner not awaited', async () => {
          const before = count(sql);
          let inner;
          const outer = await storage.transaction(async () => { put(11); inner = storage.transaction(async () => { put(12); }); }).then(() => 'committed', (e) => `rejected: ${e.message}`);
          return [outer, await inner.then(() => 'committed', (e) => `rejected: ${e.message}`), count(sql) - before];
        });
        await see('transaction called within transactionSync', async () => {
          let p;
          storage.transactionSync(() => { p = storage.transaction(async () => { put(13); return 'inside'; }); });
          return p;
        });
        await see('bad options of txn', () => storage.transaction(async (t) => t.get('a', 5)));
        await see('rollback within transactionSync', () => storage.transaction(async (t) => { storage.transactionSync(() => t.rollback()); }));
        await see('put started before, awaited after', async () => { const p = storage.put('y', 1); await storage.transaction(async (t) => { t.rollback(); }); await p; return storage.get('y'); });
      },
      ({ storage, see }) => see('next turn', () => count(storage.sql)),
    ],
  },
  {
    name: 'deferred constraint violated at the end of a turn',
    backend: 'sql',
    steps: [
      ({ storage: { sql }, see, mem }) => {
        mem.alive = true;
        sql.exec('create table p (id integer primary key); create table c (p references p (id) deferrable initially deferred)');
        see('repaired within the turn', () => { sql.exec('insert into c values (1)'); sql.exec('insert into p values (1)'); });
      },
      ({ storage: { sql }, see }) => { sql.exec('insert into c values (2)'); see('accepted at first', () => sql.exec('select count(*) as n from c').one()); },
      ({ storage: { sql }, see, mem }) => {
        see('instance is new', () => mem.alive);
        see('rolled back', () => sql.exec('select count(*) as n from c').one());
        mem.alive = true;
      },
      async ({ storage, see }) => {
        await see('in transaction()', () => storage.transaction(async () => { storage.sql.exec('insert into c values (3)'); return 'callback ended'; }));
      },
      ({ storage: { sql }, see, mem }) => {
        see('instance after transaction()', () => mem.alive);
        see('rows after transaction()', () => sql.exec('select count(*) as n from c').one());
        mem.alive = true;
      },
      ({ storage, see }) => {
        see('in transactionSync', () => storage.transactionSync(() => { storage.sql.exec('insert into c values (4)'); return 'ended'; }));
        storage.sql.exec('insert into p values (4)');
        see('repaired after it', () => storage.sql.exec('select count(*) as n from c').one());
      },
    ],
  },
  {
    name: 'storage: other members',
    backend: 'sql',
    steps: [
      async ({ storage, see }) => {
        see('tag', () => Object.prototype.toString.call(storage));
        see('members', () => Object.getOwnPropertyNames(Object.getPrototypeOf(storage)).sort());
        see('own keys', () => Object.keys(storage));
        see('members above', () => Object.getOwnPropertyNames(Object.getPrototypeOf(Object.getPrototypeOf(storage))).sort());
        see('sql is one object', () => storage.sql === storage.sql);
        see('kv is one object', () => storage.kv === storage.kv);
        await see('sync', () => storage.sync());
        await see('sync after a put', async () => { storage.put('a', 1); return storage.sync(); });
        await see('sync after an unconfirmed put', async () => { storage.put('a', 1, { allowUnconfirmed: true }); return storage.sync(); });
        await see('getCurrentBookmark', async () => typeof await storage.getCurrentBookmark());
        await see('bookmark shape', async () => /^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$/.test(await storage.getCurrentBookmark()));
        await see('bookmarks grow', async () => { const a = await storage.getCurrentBookmark(); await storage.put('z', 1); await storage.sync(); const b = await storage.getCurrentBookmark(); return a < b; });
        await see('getBookmarkForTime', () => storage.getBookmarkForTime(Date.now()));
        await see('getBookmarkForTime of nothing', () => storage.getBookmarkForTime());
        await see('onNextSessionRestoreBookmark', () => storage.onNextSessionRestoreBookmark('x'));
        await see('wrong this', () => { const { get } = storage; return get('a'); });
        await see('waitForBookmark', () => typeof storage.waitForBookmark);
        await see('primary', () => storage.primary);
      },
    ],
  },
];
