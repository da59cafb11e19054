/*
 * What an operator has an object write: SQL, a value, the end of a value. It
 * comes as a request for an entrypoint that no author can have, and is an event
 * of the object like others, but its class hears nothing of it. The answer waits
 * for its commit.
 *
 * internal/admin/storage.go has the names of the fields.
 */

import type { Request } from "./http/request.ts";
import { Response } from "./http/response.ts";
import { Buffer } from "./storage/bytes.ts";
import { deserialize, type ObjectStorage } from "./storage/index.ts";

/** Not a name that an export can have in a configuration. */
export const operatorEntrypoint = "dormouse:storage";

interface Change {
  readonly do: "sql" | "put" | "delete";
  readonly sql?: string;
  readonly limit?: number;
  readonly key?: string;
  readonly value?: string;
}

/** Does what the request says, all of it or nothing. Answers 400 with the reason if that cannot be done. */
export async function operate(storage: ObjectStorage, request: Request): Promise<Response> {
  const change = (await request.json()) as Change;
  try {
    return Response.json(perform(storage, change)) as Response;
  } catch (error) {
    return Response.json({ error: (error as Error).message }, { status: 400 }) as Response;
  }
}

function perform(storage: ObjectStorage, change: Change): unknown {
  switch (change.do) {
    case "sql": return storage.api.transactionSync(() => run(storage, change.sql ?? "", change.limit ?? 1000));
    case "put": {
      const key = textOf(Buffer.from(change.key ?? "", "base64"));
      storage.put([[key, deserialize(Buffer.from(change.value ?? "", "base64"))]], true);
      return { stored: true };
    }
    case "delete": return { deleted: storage.delete([textOf(Buffer.from(change.key ?? "", "base64"))], true) === 1 };
    default: throw new Error(`an object cannot do ${JSON.stringify(change.do)}`);
  }
}

function run(storage: ObjectStorage, sql: string, limit: number): unknown {
  const changes = () => Number((storage.api.sql.exec("SELECT total_changes() AS n").one() as { n: number }).n);
  const before = changes();
  const cursor = storage.api.sql.exec(sql);
  const rows: unknown[][] = [];
  let more = false;
  for (const row of cursor.raw() as Iterable<unknown[]>) {
    if (rows.length >= limit) {
      more = true;
      break;
    }
    rows.push(row.map(cell));
  }
  return { columns: cursor.columnNames, rows, more, changed: changes() - before };
}

/** A value of a row as JSON has it; internal/browse has the same forms. */
function cell(value: unknown): unknown {
  if (value instanceof ArrayBuffer) return { blob: Buffer.from(value).toString("base64") };
  if (typeof value === "number" && !Number.isFinite(value)) return { number: String(value) };
  return value;
}

/** UTF-8, in which half of a surrogate pair stands as if it were a character. */
function textOf(bytes: Buffer): string {
  const text = bytes.toString();
  if (Buffer.from(text).equals(bytes)) return text;
  let whole = "";
  for (let at = 0, from = 0; at <= bytes.length; at++) {
    const lone = bytes[at] === 0xed && bytes[at + 1]! >= 0xa0;
    if (at < bytes.length && !lone) continue;
    whole += bytes.toString("utf8", from, at);
    if (lone) whole += String.fromCharCode(0xd000 | (bytes[at + 1]! & 0x3f) << 6 | bytes[at + 2]! & 0x3f);
    at += 2;
    from = at + 1;
  }
  return whole;
}
