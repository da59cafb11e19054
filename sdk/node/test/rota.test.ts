import assert from "node:assert/strict";
import { test } from "node:test";
import { Rota } from "../src/rota.ts";

/** What is left, in its order. */
function rest(rota: Rota<string, string>): string {
  let all = "";
  for (let item = rota.shift(); item !== undefined; item = rota.shift()) all += `${item} `;
  assert.equal(rota.length, 0);
  return all.trimEnd();
}

test("events begin in order, those of several in turn", () => {
  const rota = new Rota<string, string>();
  for (const item of ["a1", "a2", "a3", "b1", "c1", "c2"]) rota.begin(item[0]!, item);
  assert.equal(rota.length, 6);
  assert.equal(rest(rota), "a1 b1 c1 a2 c2 a3");
  rota.begin("a", "a4");
  assert.equal(rest(rota), "a4");
});

test("what goes on comes before the next event, and what it brings about behind that", () => {
  const rota = new Rota<string, string>();
  for (const item of ["1", "2", "3"]) rota.begin("a", item);
  assert.equal(rota.shift(), "1");
  rota.goOn("answer 1");
  assert.equal(rota.shift(), "2");
  rota.goOn("answer 2");
  assert.equal(rota.shift(), "answer 1");
  rota.goOn("more of 1");
  assert.equal(rest(rota), "3 answer 2 more of 1");
  rota.goOn("x");
  rota.goOn("y");
  rota.begin("a", "4");
  assert.equal(rest(rota), "4 x y");
  assert.equal(rest(rota), "");
});
