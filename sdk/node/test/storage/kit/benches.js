// What bench.ts measures, for any runtime: each runs `n` operations of one kind in one event.

export const benches = {
  'sql insert': ({ sql }, n) => {
    sql.exec('create table if not exists t (id integer primary key, name text, score real)');
    for (let i = 0; i < n; i++) sql.exec('insert into t (name, score) values (?, ?)', 'hello', i);
  },
  'sql select one row, toArray': ({ sql }, n) => {
    for (let i = 0; i < n; i++) sql.exec('select id, name, score from t where id = ?', (i % 1000) + 1).toArray();
  },
  'sql select one row, one': ({ sql }, n) => {
    for (let i = 0; i < n; i++) sql.exec('select id, name, score from t where id = ?', (i % 1000) + 1).one();
  },
  'sql select one row, for of': ({ sql }, n) => {
    let sum = 0;
    for (let i = 0; i < n; i++) for (const row of sql.exec('select id, name, score from t where id = ?', (i % 1000) + 1)) sum += row.score;
    return sum;
  },
  'sql 100 rows, toArray, per row': ({ sql }, n) => {
    for (let i = 0; i < n; i += 100) sql.exec('select id, name, score from t limit 100').toArray();
  },
  'sql 100 rows, for of, per row': ({ sql }, n) => {
    let sum = 0;
    for (let i = 0; i < n; i += 100) for (const row of sql.exec('select id, name, score from t limit 100')) sum += row.score;
    return sum;
  },
  'sql insert and select in turns': ({ sql }, n) => {
    for (let i = 0; i < n; i += 2) {
      sql.exec('insert into t (name, score) values (?, ?)', 'hello', i);
      sql.exec('select id, name, score from t where id = ?', (i % 1000) + 1).toArray();
    }
  },
  'sql update': ({ sql }, n) => {
    for (let i = 0; i < n; i++) sql.exec('update t set score = score + 1 where id = ?', (i % 1000) + 1);
  },
  'sql insert returning': ({ sql }, n) => {
    for (let i = 0; i < n; i++) sql.exec('insert into t (name, score) values (?, ?) returning id', 'hello', i).one();
  },
  'transactionSync of one insert': (storage, n) => {
    for (let i = 0; i < n; i++) storage.transactionSync(() => { storage.sql.exec('insert into t (name, score) values (?, ?)', 'x', i); });
  },
  'kv put': async (storage, n) => {
    for (let i = 0; i < n; i++) await storage.put(`key${i % 1000}`, { name: 'hello', score: i });
  },
  'kv get': async (storage, n) => {
    for (let i = 0; i < n; i++) await storage.get(`key${i % 1000}`);
  },
  'kv put and get in turns': async (storage, n) => {
    for (let i = 0; i < n; i += 2) {
      await storage.put(`key${i % 1000}`, i);
      await storage.get(`key${i % 1000}`);
    }
  },
  'sync kv put': ({ kv }, n) => {
    for (let i = 0; i < n; i++) kv.put(`key${i % 1000}`, { name: 'hello', score: i });
  },
  'sync kv get': ({ kv }, n) => {
    for (let i = 0; i < n; i++) kv.get(`key${i % 1000}`);
  },
  'kv list of 100, per pair': async (storage, n) => {
    for (let i = 0; i < n; i += 100) await storage.list({ limit: 100 });
  },
};
