// SQL errors: their texts, and what state they leave behind.

export const errors = [
  {
    name: 'sql errors: texts',
    backend: 'sql',
    steps: [
      ({ storage: { sql }, see }) => {
        sql.exec('create table t (a integer primary key, b text unique, c not null default 0, check (c < 100))');
        sql.exec("insert into t values (1, 'x', 1)");
        const run = (text, ...b) => () => sql.exec(text, ...b).toArray();
        see('syntax', run('selec 1'));
        see('syntax later', run('select 1 from from t'));
        see('syntax at the end', run('select 1 +'));
        see('syntax after UTF-8', run("select 'é' from from t"));
        see('syntax in the second statement', run('select 1; selec 2'));
        see('same word before', run('select from_ from t where where'));
        see('unterminated string', run("select 'x"));
        see('unknown token', run('select 1 # 2'));
        see('no such table', run('select * from nope'));
        see('no such table, insert', run('insert into nope values (1)'));
        see('no such column', run('select nope from t'));
        see('no such column, qualified', run('select t.nope from t'));
        see('no such column, second place', run('select a, b, nope from t where nope = 1'));
        see('no such column, insert', run('insert into t (nope) values (1)'));
        see('double-quoted string', run('select "nope" from t'));
        see('no such function', run('select nope(1)'));
        see('wrong argument count', run('select abs(1, 2)'));
        see('ambiguous column', run('select a from t as x, t as y'));
        see('too few values', run('insert into t values (1)'));
        see('table exists', run('create table t (a)'));
        see('index exists', run('create index i on t (b); create index i on t (b)'));
        see('primary key', run("insert into t values (1, 'y', 1)"));
        see('unique', run("insert into t values (2, 'x', 1)"));
        see('not null', run("insert into t values (2, 'y', null)"));
        see('check', run("insert into t values (2, 'y', 100)"));
        see('datatype', run("insert into t values ('abc', 'y', 1)"));
        see('foreign key', run('create table f (a references t (a)); insert into f values (77)'));
        see('strict table', run("create table s (a integer) strict; insert into s values ('x')"));
        see('raise', run("create trigger tr before delete on t begin select raise(abort, 'not this one'); end; delete from t"));
        see('integer overflow', run('select abs(-9223372036854775808)'));
        see('sum overflow', run('select sum(column1) from (values (9223372036854775807), (1))'));
        see('malformed JSON', run("select json('{bad')"));
        see('bad JSON path', run("select json_extract('{}', 'bad')"));
        see('limit with text', run("select 1 limit 'x'"));
        see('limit bound to text', run('select 1 limit ?', 'x'));
        see('subquery columns', run('select (select 1, 2)'));
        see('aggregate misuse', run('select a from t where count(*) > 1'));
        see('string as value', run('insert into t values (3, y, 1)'));
        see('fts5 syntax', run(`create virtual table ft using fts5 (x); select * from ft where ft match '"'`));
        see('generated column', run('create table g (a, b as (a + 1)); insert into g (b) values (1)'));
        see('error class', () => { try { sql.exec('selec'); } catch (e) { return [e.constructor.name, Object.keys(e)]; } });
      },
    ],
  },
  {
    name: 'sql errors: limits',
    backend: 'sql',
    differs: {
      'blob of 2,200,001 bytes': 'the documented limit of 2 MB is enforced; workerd lets 8 MiB pass',
      'binding of 2,200,001 bytes': 'the documented limit of 2 MB is enforced; workerd lets 8 MiB pass',
    },
    steps: [
      ({ storage: { sql }, see }) => {
        const list = (n, f) => Array.from({ length: n }, (_, i) => f(i)).join(', ');
        see('100 columns', () => sql.exec(`create table c100 (${list(100, (i) => `c${i}`)})`));
        see('101 columns', () => sql.exec(`create table c101 (${list(101, (i) => `c${i}`)})`));
        see('101 results', () => sql.exec(`select ${list(101, (i) => i)}`));
        see('100 variables', () => sql.exec(`select count(*) as n from (values ${list(100, () => '(?)')})`, ...Array(100).fill(1)).one());
        see('101 variables', () => sql.exec(`select count(*) from (values ${list(101, () => '(?)')})`, ...Array(101).fill(1)));
        see('variable ?101', () => sql.exec('select ?101', 1));
        see('like pattern of 50', () => sql.exec(`select 'x' like '${'a'.repeat(50)}' as v`).one());
        see('like pattern of 51', () => sql.exec(`select 'x' like '${'a'.repeat(51)}' as v`).one());
        see('glob pattern of 51', () => sql.exec(`select 'x' glob '${'a'.repeat(51)}' as v`).one());
        see('5 compound terms', () => sql.exec('select 1 as v union all select 2 union all select 3 union all select 4 union all select 5').toArray().length);
        see('6 compound terms', () => sql.exec(`select 1 as v ${'union all select 2 '.repeat(5)}`).toArray().length);
        see('text of 100,000 bytes', () => sql.exec(`select 1 as v /*${'x'.repeat(100000 - 18)}*/`).one());
        see('text of 100,001 bytes', () => sql.exec(`select 1 as v /*${'x'.repeat(100001 - 18)}*/`).one());
        see('127 arguments', () => sql.exec(`select max(${list(127, (i) => i)}) as v`).one());
        see('128 arguments', () => sql.exec(`select max(${list(128, (i) => i)}) as v`).one());
        see('expression depth 100', () => sql.exec(`select ${'('.repeat(0)}1${'+1'.repeat(99)} as v`).one());
        see('expression depth 101', () => sql.exec(`select 1${'+1'.repeat(100)} as v`).one());
        see('deep parentheses', () => sql.exec(`select ${'('.repeat(101)}1${')'.repeat(101)} as v`).one());
        see('blob of 2,000,000 bytes', () => sql.exec('select length(zeroblob(2000000)) as v').one());
        see('blob of 2,100,000 bytes', () => sql.exec('select length(zeroblob(2100000)) as v').one());
        see('blob of 2,200,001 bytes', () => sql.exec('select length(zeroblob(2200001)) as v').one());
        see('blob of 10,000,000 bytes', () => sql.exec('select length(zeroblob(10000000)) as v').one());
        see('binding of 2,200,001 bytes', () => sql.exec('select length(?) as v', new Uint8Array(2200001)).one());
        see('binding of 10,000,000 bytes', () => sql.exec('select length(?) as v', new Uint8Array(10000000)).one());
        see('binding of long text', () => sql.exec('select length(?) as v', 'x'.repeat(10000000)).one());
        sql.exec('create table tr (a); create trigger trt after insert on tr when new.a < 20 begin insert into tr values (new.a + 1); end');
        see('trigger recursion is off', () => { sql.exec('insert into tr values (1)'); return sql.exec('select count(*) as n from tr').one(); });
      },
    ],
  },
  {
    name: 'sql errors: what they leave behind',
    backend: 'sql',
    steps: [
      ({ storage: { sql }, see }) => {
        sql.exec('create table t (a primary key)');
        see('multi-row insert fails', () => sql.exec('insert into t values (1), (2), (1)'));
        see('nothing of it stays', () => sql.exec('select count(*) as n from t').one());
        see('or fail', () => sql.exec('insert or fail into t values (1), (2), (1)'));
        see('the rows before stay', () => sql.exec('select count(*) as n from t').one());
        see('or ignore', () => sql.exec('insert or ignore into t values (1), (2), (3)').toArray());
        see('or replace', () => sql.exec('insert or replace into t values (1)').toArray());
      },
      ({ storage: { sql }, see }) => {
        see('committed', () => sql.exec('select count(*) as n from t').one());
        sql.exec('insert into t values (10)');
        see('or rollback', () => sql.exec('insert or rollback into t values (11), (1)'));
        see('after it', () => sql.exec('select count(*) as n from t').one());
      },
      ({ storage: { sql }, see }) => see('the turn after', () => sql.exec('select count(*) as n from t').one()),
    ],
  },
];
