// An object with something of everything, whose file is given from one runtime to the other.

import { errorKinds, kinds } from './values.js';

const FAR = 4102444800000; // 2100-01-01

/** Fills an empty object. */
const fill = async ({ storage }) => {
  const { sql, kv } = storage;
  sql.exec('create table everything (id integer primary key autoincrement, i integer, r real, x text, b blob, n)');
  sql.exec('create index by_text on everything (x); create unique index by_both on everything (i, x)');
  sql.exec('create table w (k text primary key, v references everything (id)) without rowid');
  sql.exec('create view v as select x from everything; create virtual table f using fts5 (x)');
  sql.exec('create trigger tr after insert on everything begin insert into f values (new.x); end');
  for (let i = 0; i < 20; i++) sql.exec('insert into everything (i, r, x, b, n) values (?, ?, ?, ?, ?)', i, i / 2, `row ${i}`, new Uint8Array([i, 255]), null);
  sql.exec('insert into everything (i, x) values (?, ?)', 2 ** 60, 'big\0text');
  sql.exec("insert into w values ('a', 1), ('b', 2)");
  kv.put('a\0b', 'key with NUL');
  kv.put('\ud800', 'key that is not well-formed');
  kv.put('long', 'x'.repeat(10000));
  await storage.setAlarm(FAR);
};

/** Looks at all of it. */
const look = async ({ storage, see }) => {
  const { sql, kv } = storage;
  see('rows', () => sql.exec('select id, i, r, x, b, n from everything order by id desc limit 3').toArray());
  see('count', () => sql.exec('select count(*) as n from everything').one());
  see('by index', () => sql.exec("select id from everything where x = 'row 7'").one());
  see('without rowid', () => sql.exec('select * from w').toArray());
  see('view', () => sql.exec('select count(*) as n from v').one());
  see('full text', () => sql.exec("select x from f where f match '11'").toArray());
  see('check', () => sql.exec('pragma quick_check').one());
  see('tables', () => sql.exec('select type, name from sqlite_master order by name').raw().toArray());
  await see('alarm', () => storage.getAlarm());
  see('key with NUL', () => kv.get('a\0b'));
  see('key that is not well-formed', () => kv.get('\ud800'));
  see('long value', () => kv.get('long').length);
  see('next id', () => {
    let next;
    try {
      storage.transactionSync(() => { next = sql.exec("insert into everything (x) values ('added') returning id").one(); throw 0; });
    } catch { /* the object stays as it is */ }
    return next;
  });
};

export const files = [
  { name: 'files: everything', backend: 'sql', steps: [fill, look] },
  {
    name: 'files: values',
    backend: 'sql',
    steps: [
      ({ storage: { kv } }) => {
        for (const [kind, make] of Object.entries({ ...kinds, ...errorKinds })) kv.put(kind, make());
      },
      ({ storage: { kv }, see }) => {
        for (const kind of Object.keys({ ...kinds, ...errorKinds })) see(kind, () => kv.get(kind));
      },
    ],
  },
];
