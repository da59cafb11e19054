// What SQL may not touch, and which parts of SQLite are there.

export const authorizer = [
  {
    name: 'authorizer: refused',
    backend: 'sql',
    steps: [
      async ({ storage, see }) => {
        const { sql } = storage;
        sql.exec('create table t (a)');
        await storage.put('k', 1);
        const run = (text) => () => sql.exec(text).toArray();
        see('begin', run('begin'));
        see('commit', run('commit'));
        see('rollback', run('rollback'));
        see('savepoint', run('savepoint x'));
        see('release', run('release x'));
        see('begin after a statement', run('insert into t values (1); begin'));
        see('read _cf_KV', run('select * from _cf_KV'));
        see('count _cf_KV', run('select count(*) from _cf_KV'));
        see('insert into _cf_KV', run("insert into _cf_KV values ('a', 1)"));
        see('delete from _cf_KV', run('delete from _cf_KV'));
        see('update _cf_KV', run('update _cf_KV set value = 1'));
        see('drop _cf_KV', run('drop table _cf_KV'));
        see('create _cf_x', run('create table _cf_x (a)'));
        see('create _CF_x', run('create table _CF_x (a)'));
        see('index _cf_i', run('create index _cf_i on t (a)'));
        see('index on _cf_KV', run('create index i on _cf_KV (value)'));
        see('view on _cf_KV', run('create view v as select * from _cf_KV'));
        see('read through the view', run('select * from v'));
        see('rename to _cf_', run('alter table t rename to _cf_t'));
        see('attach', run("attach ':memory:' as m"));
        see('detach', run('detach main'));
        see('temp table', run('create temp table x (a)'));
        see('temp view', run('create temp view x as select 1'));
        see('vacuum', run('vacuum'));
        see('vacuum into', run("vacuum into 'x.db'"));
        see('sqlite_version', run('select sqlite_version()'));
        see('sqlite_source_id', run('select 1, sqlite_source_id()'));
        see('load_extension', run("select load_extension('x')"));
        see('readfile', run("select readfile('x')"));
        see('fts3', run('create virtual table f3 using fts3 (a)'));
        see('dbstat', run('select * from dbstat'));
        see('sqlite_dbpage', run('select * from sqlite_dbpage'));
        see('write sqlite_schema', run("update sqlite_schema set sql = ''"));
        see('pragma user_version', run('pragma user_version'));
        see('pragma journal_mode', run('pragma journal_mode'));
        see('pragma synchronous', run('pragma synchronous = off'));
        see('pragma writable_schema', run('pragma writable_schema = on'));
        see('pragma database_list', run('pragma database_list'));
        see('pragma page_count', run('pragma page_count'));
        see('pragma wal_checkpoint', run('pragma wal_checkpoint'));
        see('pragma compile_options', run('pragma compile_options'));
        see('pragma function_list', run('pragma function_list'));
        see('pragma table_info of _cf_KV', run('pragma table_info(_cf_KV)'));
        see('pragma_page_count()', run('select * from pragma_page_count'));
        see('pragma_table_info of _cf_KV', run("select * from pragma_table_info('_cf_KV')"));
        see('pragma in capitals', run('PRAGMA TABLE_INFO(t)'));
        see('pragma of a schema', run('pragma main.table_info(t)'));
        see('rename a column to _cf_', run('alter table t rename column a to _cf_a'));
        see('rename to _cf_, quoted', run('alter table t rename to "_CF_t"'));
        see('explain', run('explain select 1').name);
        see('recursive savepoint in trigger', run('create trigger _cf_tr after insert on t begin select 1; end'));
      },
    ],
  },
  {
    name: 'authorizer: allowed',
    backend: 'sql',
    steps: [
      ({ storage: { sql }, see }) => {
        const run = (text) => () => sql.exec(text).toArray();
        sql.exec('create table p (id integer primary key); create table c (id integer primary key, p references p (id)); create index ci on c (p)');
        see('foreign_keys is on', run('pragma foreign_keys'));
        see('foreign_keys off has no effect within a transaction', run('pragma foreign_keys = off'));
        see('defer_foreign_keys', run('pragma defer_foreign_keys = on'));
        see('case_sensitive_like', run('pragma case_sensitive_like = on; select \'a\' like \'A\' as v'));
        see('case_sensitive_like off', run('pragma case_sensitive_like = off; select \'a\' like \'A\' as v'));
        see('recursive_triggers', run('pragma recursive_triggers'));
        see('table_info', run('pragma table_info(c)'));
        see('table_xinfo', run('pragma table_xinfo(p)'));
        see('table_list', () => sql.exec('pragma table_list').toArray().map((r) => r.name).sort());
        see('index_list', run('pragma index_list(c)'));
        see('index_info', run('pragma index_info(ci)'));
        see('foreign_key_list', run('pragma foreign_key_list(c)'));
        see('foreign_key_check', run('pragma foreign_key_check'));
        see('quick_check', run('pragma quick_check'));
        see('optimize', run('pragma optimize'));
        see('data_version', () => sql.exec('pragma data_version').toArray().length);
        see('pragma_table_info', run("select name from pragma_table_info('c')"));
        see('sqlite_master', run('select type, name, tbl_name from sqlite_master order by name'));
        see('sqlite_schema', run('select count(*) as n from sqlite_schema'));
        see('json', run(`select json_extract('{"a":[1,2]}', '$.a[1]') as v, '{"a":5}' -> 'a' as w, '{"a":"x"}' ->> 'a' as x`));
        see('json_each', run(`select key, value from json_each('{"a":1,"b":"x"}')`));
        see('jsonb', run("select typeof(jsonb('[1]')) as v"));
        see('math', run('select sqrt(4) as a, pow(2, 3) as b, floor(1.5) as c, pi() > 3 as d'));
        see('dates', run("select date('2026-11-17', '+1 day') as d, strftime('%Y', '2026-01-01') as y, unixepoch('1970-01-02') as u"));
        see('window', run('select row_number() over (order by column1 desc) as n, column1 as v from (values (1), (2))'));
        see('group_concat', run('select group_concat(column1) as v from (values (1), (2))'));
        see('recursive', run('with recursive c (x) as (select 1 union all select x + 1 from c where x < 4) select x from c'));
        see('fts5', run(`create virtual table ft using fts5 (title, body);
          insert into ft values ('one', 'the quick brown fox'), ('two', 'lazy dogs');
          select title, highlight(ft, 1, '<', '>') as h from ft where ft match 'quick'`));
        see('fts5 rank', run("select title from ft where ft match 'lazy OR quick' order by rank"));
        see('fts5 bm25', run("select title, bm25(ft) < 0 as neg from ft where ft match 'dogs'"));
        see('fts5vocab', run('create virtual table fv using fts5vocab (ft, row); select term from fv limit 2'));
        see('rtree', run('create virtual table rt using rtree (id, x1, x2); insert into rt values (1, 0, 5); select id from rt where x1 <= 3 and x2 >= 3'));
        see('drop fts5', run('drop table ft; select count(*) as n from sqlite_master where name like \'ft_%\''));
        see('alter table', run('alter table p add column n text; alter table p rename column n to m; alter table p drop column m; select * from p'));
        see('rename table', run('alter table c rename to cc; select name from sqlite_master where name = \'cc\''));
        see('view', run('create view vw as select id from p; select * from vw; drop view vw'));
        see('reindex', run('reindex ci'));
        see('analyze', run('analyze'));
        see('changes()', run('insert into p values (1), (2); select changes() as v'));
        see('last_insert_rowid()', run('select last_insert_rowid() as v'));
        see('total_changes()', () => typeof sql.exec('select total_changes() as v').one().v);
        see('random', () => typeof sql.exec('select random() as v').one().v);
        see('quote, hex, unhex', run("select quote(x'01') as a, hex('a') as b, unhex('61') as c"));
        see('printf, format', run("select printf('%05d', 7) as a, format('%s', 'x') as b"));
        see('concat', run("select concat('a', 'b') as a, concat_ws('-', 'a', 'b') as b"));
        see('iif, if', run('select iif(1, 2, 3) as a'));
        see('median', run('select median(column1) as v from (values (1), (2))'));
        see('collate nocase', run("select 'a' = 'A' collate nocase as v"));
        see('regexp', run("select 'a' regexp 'a'"));
        see('generate_series', run('select * from generate_series(1, 2)'));
        see('stat4 table', run('select count(*) > 0 as n from sqlite_stat1'));
        see('explain query plan', () => sql.exec('explain query plan select * from p where id = 1').toArray().map((r) => r.detail));
        see('writing to a shadow table', run('create virtual table f2 using fts5 (a); insert into f2_content values (1, 2)'));
        see('trigger', run(`create table tlog (a); create trigger tg after insert on p begin insert into tlog values (new.id); end;
          insert into p values (50); select * from tlog`));
      },
    ],
  },
];
