// deleteAll, and what is left of tables, cursors and alarms.

export const deleting = [
  {
    name: 'deleteAll',
    backend: 'sql',
    differs: {
      'kv list': 'workerd fails within itself',
      'in transactionSync': 'workerd fails within itself, half done; here it is part of the transaction',
      tables: 'the file is emptied, not replaced: sqlite_sequence, which SQLite lets nobody drop, stays',
      databaseSize: 'the page of sqlite_sequence, until the turn ends',
    },
    steps: [
      async ({ storage, see, mem }) => {
        const { sql } = storage;
        await see('of nothing', () => storage.deleteAll());
        await storage.put('a', 1);
        sql.exec('create table p (id integer primary key autoincrement); create table c (p references p (id)); create index i on c (p)');
        sql.exec('create view v as select * from p; create trigger tr after insert on p begin insert into c values (new.id); end');
        sql.exec('create virtual table f using fts5 (x); insert into p values (1); insert into f values (\'words\')');
        await storage.setAlarm(Date.now() + 1e7);
        mem.cursor = sql.exec('select * from p union all select * from p');
        mem.done = sql.exec('select 1 as a');
        mem.done.toArray();
        mem.list = storage.kv.list();
        await see('returns', () => storage.deleteAll());
        see('open cursor', () => mem.cursor.next());
        see('open cursor, columnNames', () => mem.cursor.columnNames);
        see('finished cursor', () => mem.done.toArray());
        see('finished cursor, rowsRead', () => mem.done.rowsRead);
        see('kv list', () => mem.list.next());
        await see('key', () => storage.get('a'));
        await see('alarm', () => storage.getAlarm());
        see('tables', () => sql.exec('select name from sqlite_master').toArray());
        see('databaseSize', () => sql.databaseSize);
        see('same statement again', () => sql.exec('select 1 as a').one());
        see('table again', () => sql.exec('create table p (id integer primary key autoincrement); insert into p default values; select * from p').toArray());
        await storage.put('b', 2);
        await see('put after', () => storage.list());
      },
      async ({ storage, see }) => {
        await see('next turn', () => storage.list());
        see('next turn, tables', () => storage.sql.exec("select name from sqlite_master where name not like '\\_cf\\_%' escape '\\' order by name").toArray());
        await see('foreign keys still on', () => storage.sql.exec('pragma foreign_keys').one());
        await see('with options', () => storage.deleteAll({ allowUnconfirmed: true }));
        await see('with bad options', () => storage.deleteAll(5));
      },
      async ({ storage, see }) => {
        await storage.put('c', 3);
        await see('then rolled back by nothing', async () => { await storage.deleteAll(); return storage.list(); });
        storage.sql.exec('create table q (a)');
      },
      ({ storage, see }) => see('at the end', () => storage.sql.exec("select name from sqlite_master where name = 'q'").toArray()),
      ({ storage, see }) => see('in transactionSync', () => storage.transactionSync(() => { storage.deleteAll(); return 'called'; })),
      ({ storage, see }) => see('after transactionSync', () => storage.sql.exec("select name from sqlite_master where name = 'q'").toArray()),
    ],
  },
];
