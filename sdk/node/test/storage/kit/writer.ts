// Writes turn after turn into a database until it is killed, telling each that is committed.

import { writeSync } from "node:fs";
import { DatabasePool, defaultLimits } from "../../../src/storage/index.ts";
import { TestObject } from "../host.ts";

const pool = new DatabasePool({ maxOpen: 1, rowBytes: defaultLimits.rowBytes, cacheBytes: 1 << 20 });
const object = new TestObject(process.argv[2]!, pool);

for (;;) {
  const turn = await object.event(({ api }) => {
    api.sql.exec("create table if not exists t (turn integer, part text)");
    const next = (api.kv.get("turns") as number | undefined ?? 0) + 1;
    for (const part of ["a", "b", "c"]) api.sql.exec("insert into t values (?, ?)", next, part.repeat(2000));
    api.kv.put("turns", next);
    return next;
  });
  writeSync(1, `${turn}\n`);
}
