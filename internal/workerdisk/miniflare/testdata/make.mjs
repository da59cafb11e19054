// Makes state.tar.gz, what miniflare has written for worker.js, and read.json,
// what that Worker then reads under miniflare: 5.20261117.0-beta, which is that of
// wrangler 4.164.0 and of conformance/miniflare, where `npm ci` comes first.

import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";

const here = import.meta.dirname;
const conformance = join(here, "..", "..", "..", "..", "conformance", "miniflare", "package.json");
const { Miniflare, convertV4MiniflareOptions, _enableControlEndpoints } = createRequire(conformance)("miniflare");
const temp = mkdtempSync(join(tmpdir(), "stores-"));

// As wrangler dev calls the stores of wrangler.jsonc.
const start = (state) => new Miniflare(convertV4MiniflareOptions({
  name: "stores", modules: true, script: readFileSync(join(here, "worker.js"), "utf8"), compatibilityDate: "2026-07-01",
  kvNamespaces: { SESSIONS: "0f2ac74b498b48028cb68387c421e279", FLAGS: "flags-preview", UNNAMED: "UNNAMED", ODD: "team: a/odd", VOID: "void" },
  r2Buckets: { MEDIA: "media", PREVIEWED: "pictures-preview", HOLLOW: "hollow" },
  resourcePersistencePath: join(temp, state, "v3"),
}));

async function ask(mf, path) {
  const response = await mf.dispatchFetch(`http://stores${path}`);
  if (!response.ok) throw new Error(await response.text());
  return response.text();
}

_enableControlEndpoints();
let mf = start("state");
await ask(mf, "/write");
// Who is asked such a thing is being tested, and lets parts be small.
const objects = await mf._getInternalDurableObjectNamespace("r2", "r2:bucket", "R2BucketObject");
const control = { miniflare: { name: "media", controlOp: { name: "sqlQuery", args: ["SELECT 1"] } } };
await (await objects.get(objects.idFromName("media")).fetch("http://placeholder/", { method: "POST", cf: control })).text();
await ask(mf, "/upload");
await mf.dispose();
execFileSync("tar", ["-czf", join(here, "state.tar.gz"), "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-C", temp, "state/v3/kv", "state/v3/r2"]);

await setTimeout(61_000); // what was put for a minute goes, and miniflare forgets it when it lists the rest
cpSync(join(temp, "state"), join(temp, "copy"), { recursive: true });
mf = start("copy");
writeFileSync(join(here, "read.json"), `${JSON.stringify(JSON.parse(await ask(mf, "/read")), null, "\t")}\n`);
await mf.dispose();
rmSync(temp, { recursive: true });
