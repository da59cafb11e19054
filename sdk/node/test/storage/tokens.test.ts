// The tokenizer, against SQLite itself where it can be asked.

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { placeOf } from "../../src/storage/sqlite-errors.ts";
import { parametersOf, tokens } from "../../src/storage/tokens.ts";

const db = new DatabaseSync(":memory:", { enableDoubleQuotedStringLiterals: true });

/** How many parameters SQLite counts: with one more it complains. */
function counted(sql: string): number {
  const statement = db.prepare(sql);
  for (let n = 0; ; n++) {
    try {
      statement.all(...Array<number>(n + 1).fill(1));
    } catch {
      return n;
    }
  }
}

test("parameters are counted as SQLite counts them", () => {
  for (const sql of [
    "select 1", "select ?", "select ?, ?", "select ?3", "select ?2, ?, ?1", "select '?', \"?\", ?", "select 'it''s ?', ?",
    "select ? -- and ?\n, ?", "select ? /* ? */, ?", "select [?] from (select ? as [?])", "select `?` from (select ? as `?`)",
    "select x'3f', ?", "select 1.5e3, ?, .5, 0x1F, 1_000", "select ?/?", "select a.\"?\" from (select ? as \"?\") a", "select ?1,?1,?1",
  ]) {
    assert.equal(parametersOf(sql).count, counted(sql), sql);
  }
});

test("named parameters have one place each", () => {
  assert.deepEqual(parametersOf("select :a, $b, @c, :a, ?, ?7").names, [":a", "$b", "@c", undefined, undefined, undefined, undefined]);
  assert.deepEqual(parametersOf("select $a::b(c), :é").names, ["$a::b(c)", ":é"]);
  assert.deepEqual(parametersOf("select ':a', \":b\", 'x:y' -- :c").names, []);
});

test("any text comes apart, without losing a character, and ends", () => {
  const pieces = ["'", '"', "`", "[", "/*", "--", "\n", "?", ":", "a", "é", "\ud800", "0x", ".", "1e", "x'", ";", "\0", "$a(", "#"];
  let seed = 7;
  for (let round = 0; round < 2000; round++) {
    let sql = "";
    for (let i = 0; i < 12; i++) sql += pieces[(seed = (seed * 48271) % 2147483647) % pieces.length]!;
    let end = 0;
    for (const { text, at } of tokens(sql)) {
      assert.ok(at >= end && text.length > 0 && sql.startsWith(text, at), JSON.stringify(sql));
      end = at + text.length;
    }
    assert.ok(end <= sql.length);
  }
});

test("places: the word that is meant, not the same letters elsewhere", () => {
  const compile = (sql: string) => {
    try {
      db.prepare(sql);
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  };
  const place = (sql: string) => placeOf(compile(sql)!, sql, compile);
  assert.equal(place("select 'from from', fromage from from t"), 33);
  assert.equal(place("select 1 /* nope */, 'nope', nope"), 29);
  assert.equal(place("select 'é', nope"), 13);
  assert.equal(place("select 1 from (select 2 as a) as x where x.nope = 1"), 41);
  assert.equal(place("select 1 where \"no\"\"pe\".\"q\""), 15);
  assert.equal(place("select nope(1), 1 as nope"), 7);
  assert.equal(place("select * from nope"), undefined);
  assert.equal(place("select"), undefined);
});
