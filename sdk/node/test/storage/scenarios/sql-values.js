// What goes into SQL and what comes out: bindings, results, several statements.

const bytes = (...values) => new Uint8Array(values);

export const sqlValues = [
  {
    name: 'sql: how a JavaScript value is bound',
    backend: 'sql',
    differs: { 'lone surrogate': 'Node replaces it by one U+FFFD when it binds; as a key of storage.put it is kept' },
    steps: [
      ({ storage: { sql }, see }) => {
        const bind = (v) => sql.exec('select ? as v, typeof(?1) as t', v).one();
        see('undefined', () => bind(undefined));
        see('null', () => bind(null));
        see('true', () => bind(true));
        see('integer', () => bind(5));
        see('negative zero', () => bind(-0));
        see('fraction', () => bind(1.5));
        see('beyond 2^53', () => bind(2 ** 60));
        see('NaN', () => bind(NaN));
        see('Infinity', () => bind(Infinity));
        see('string', () => bind('héllo'));
        see('string with NUL', () => bind('a\0b'));
        see('lone surrogate', () => bind('a\ud800b'));
        see('BigInt', () => bind(5n));
        see('symbol', () => bind(Symbol('x')));
        see('date', () => bind(new Date(0)));
        see('plain object', () => bind({}));
        see('object with toString', () => bind({ toString: () => 'mine' }));
        see('array', () => bind([1, 2]));
        see('function', () => bind(function f() { return 1; }));
        see('ArrayBuffer', () => bind(bytes(1, 2, 3).buffer));
        see('view into a buffer', () => bind(bytes(1, 2, 3, 4).subarray(1, 3)));
        see('DataView', () => bind(new DataView(bytes(9, 8).buffer)));
        see('Uint16Array', () => bind(new Uint16Array([258])));
        see('empty blob', () => bind(bytes()));
        see('boxed number', () => bind(new Number(3)));
      },
    ],
  },
  {
    name: 'sql: column affinity',
    backend: 'sql',
    steps: [
      ({ storage: { sql }, see }) => {
        sql.exec('create table t (i integer, r real, x text, n numeric, b blob, a)');
        sql.exec('insert into t values (?, ?, ?, ?, ?, ?)', 1, 1, 1, 1, 1, 1);
        sql.exec('insert into t values (?, ?, ?, ?, ?, ?)', '2', '2', '2', '2', '2', '2');
        sql.exec('insert into t values (?, ?, ?, ?, ?, ?)', 1.5, 1.5, 1.5, 1.5, 1.5, 1.5);
        see('types', () => sql.exec(
          'select typeof(i), typeof(r), typeof(x), typeof(n), typeof(b), typeof(a) from t').raw().toArray());
        see('values', () => sql.exec('select * from t').toArray());
        see('boolean into integer column', () => sql.exec('insert into t (i) values (?) returning i, typeof(i) as t', true).one());
      },
    ],
  },
  {
    name: 'sql: what comes out',
    backend: 'sql',
    steps: [
      ({ storage: { sql }, see }) => {
        see('integer', () => sql.exec('select 42 as v').one());
        see('largest safe', () => sql.exec('select 9007199254740991 as v').one());
        see('beyond 2^53', () => sql.exec('select 9007199254740993 as v').one());
        see('beyond 2^53, negative', () => sql.exec('select -9223372036854775808 as v').one());
        see('beyond 2^53 in the second row', () => sql.exec(
          'select column1 as v from (values (1), (9007199254740993), (3))').toArray());
        see('beyond 2^53, iterated', () => [...sql.exec('select column1 as v from (values (1), (9007199254740993), (3))')]);
        see('beyond 2^53, raw', () => sql.exec('select 9007199254740993, 1').raw().toArray());
        see('real', () => sql.exec('select 1.5 as v').one());
        see('real without fraction', () => sql.exec('select 2.0 as v').one());
        see('infinity', () => sql.exec('select 9e999 as v').one());
        see('null', () => sql.exec('select null as v').one());
        see('text', () => sql.exec("select 'x' as v").one());
        see('empty text', () => sql.exec("select '' as v").one());
        see('text with NUL', () => sql.exec("select 'a' || char(0) || 'b' as v").one());
        see('blob', () => sql.exec("select x'0102' as v").one());
        see('empty blob', () => sql.exec("select x'' as v").one());
        see('text that is not UTF-8', () => sql.exec("select cast(x'61ff62' as text) as v").one());
        see('row is a plain object', () => Object.getPrototypeOf(sql.exec('select 1 as v').one()) === Object.prototype);
        see('blob is an ArrayBuffer', () => sql.exec("select x'01' as v").one().v instanceof ArrayBuffer);
        see('each blob is its own', () => {
          const row = sql.exec("select x'01' as a, x'01' as b").one();
          return row.a !== row.b;
        });
        see('duplicate names', () => sql.exec('select 1 as a, 2 as b, 3 as a').one());
        see('duplicate names, raw', () => sql.exec('select 1 as a, 2 as b, 3 as a').raw().toArray());
        see('duplicate names, columnNames', () => sql.exec('select 1 as a, 2 as b, 3 as a').columnNames);
        see('numeric names', () => sql.exec('select 1 as "b", 2 as "1", 3 as "0"').one());
        see('no alias', () => sql.exec("select 1+1, 'x', count(*)").one());
        see('column called __proto__', () => Object.keys(sql.exec('select 1 as "__proto__", 2 as b').one()));
        see('column called constructor', () => sql.exec('select 1 as "constructor"').toArray()[0].constructor);
      },
    ],
  },
  {
    name: 'sql: several statements in one text',
    backend: 'sql',
    steps: [
      ({ storage: { sql }, see }) => {
        see('last result counts', () => sql.exec('select 1 as a; select 2 as b; select 3 as c').toArray());
        see('create, insert, select', () => sql.exec(
          'create table t (a); insert into t values (1), (2); select * from t').toArray());
        see('bindings go to the last', () => sql.exec('insert into t values (3); select * from t where a >= ?', 2).toArray());
        see('bindings in an earlier one', () => sql.exec('insert into t values (?); select 1', 9));
        see('two with bindings', () => sql.exec('insert into t values (?); insert into t values (?)', 9, 9));
        see('nothing was inserted', () => sql.exec('select count(*) as n from t').one());
        see('later syntax error', () => sql.exec('insert into t values (4); selec'));
        see('earlier one stays', () => sql.exec('select count(*) as n from t').one());
        see('later run-time error', () => sql.exec('insert into t values (5); select abs(-9223372036854775808)'));
        see('earlier one stays too', () => sql.exec('select count(*) as n from t').one());
        see('trailing semicolons', () => sql.exec('select 1 as a;').toArray());
        see('two trailing semicolons', () => sql.exec('select 1 as a;;').toArray());
        see('trailing space', () => sql.exec('select 1 as a; \n\t ').toArray());
        see('trailing comment', () => sql.exec('select 1 as a; -- done').toArray());
        see('trailing comment without semicolon', () => sql.exec('select 1 as a -- done').toArray());
        see('leading comment', () => sql.exec('/* a */ -- b\n select 1 as a').toArray());
        see('semicolon in a string', () => sql.exec("select ';' as a; select 'x;y' as b").toArray());
        see('trigger body', () => sql.exec(
          `create table log (a); create trigger tr after insert on t begin
             insert into log values (new.a); insert into log values (-new.a); end;
           insert into t values (7); select * from log`).toArray());
        see('same text again', () => sql.exec('insert into t values (8); select * from log').toArray());
        see('same text a third time', () => sql.exec('insert into t values (8); select * from log').toArray());
        see('empty', () => sql.exec(''));
        see('only space', () => sql.exec('  \n'));
        see('only a comment', () => sql.exec('-- nothing'));
        see('only a semicolon', () => sql.exec(';'));
        see('leading semicolon', () => sql.exec('; select 1 as a').toArray());
        see('NUL in the text', () => sql.exec('select 1 as a\0; select 2 as b').toArray());
      },
    ],
  },
  {
    name: 'sql: arguments of exec',
    backend: 'sql',
    steps: [
      ({ storage: { sql }, see }) => {
        see('none', () => sql.exec());
        see('number as text', () => sql.exec(1));
        see('null as text', () => sql.exec(null));
        see('too few bindings', () => sql.exec('select ?, ?', 1));
        see('too many bindings', () => sql.exec('select ?', 1, 2));
        see('bindings without parameters', () => sql.exec('select 1', 1));
        see('numbered', () => sql.exec('select ?2 as a, ?1 as b', 'x', 'y').one());
        see('numbered with a gap', () => sql.exec('select ?3 as a', 1, 2, 3).one());
        see('one number twice', () => sql.exec('select ?1 as a, ?1 as b', 'x').one());
        see('named', () => sql.exec('select :a as a, $b as b, @c as c', 1, 2, 3).one());
        see('named twice', () => sql.exec('select :a as a, :a as b', 1).one());
        see('anonymous and named', () => sql.exec('select ? as a, :n as b, ? as c', 1, 2, 3).one());
        see('named object', () => sql.exec('select :a as a', { a: 1 }).one());
        see('tagged', () => String(sql));
        see('members', () => Object.getOwnPropertyNames(Object.getPrototypeOf(sql)).sort());
        see('wrong this', () => { const { exec } = sql; return exec('select 1'); });
        see('databaseSize of nothing', () => sql.databaseSize);
        see('databaseSize after a table', () => { sql.exec('create table t (a)'); return sql.databaseSize; });
        see('databaseSize after a row', () => { sql.exec('insert into t values (zeroblob(10000))'); return sql.databaseSize; });
        see('databaseSize after delete', () => { sql.exec('delete from t'); return sql.databaseSize; });
      },
    ],
  },
];
