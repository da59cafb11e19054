/*
 * The open-source workerd, from npm, with a Worker and its objects: what others
 * are compared with.
 */

import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const binary =
  process.env["WORKERD_BIN"] ?? fileURLToPath(new URL("../../../../tools/node_modules/@cloudflare/workerd-linux-64/bin/workerd", import.meta.url));

export interface Served extends AsyncDisposable {
  readonly origin: string;
}

/** The first module is the main one. `objects`: binding → class; a namespace is `test-` and the class. */
export async function serve(worker: { modules: Record<string, string>; objects: Record<string, string>; date?: string }): Promise<Served> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "workerd-"));
  fs.mkdirSync(path.join(folder, "data"));
  for (const [name, text] of Object.entries(worker.modules)) fs.writeFileSync(path.join(folder, name), text);
  const list = (items: string[]) => `[${items.join(", ")}]`;
  const classes = [...new Set(Object.values(worker.objects))];
  fs.writeFileSync(
    path.join(folder, "config.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main), (name = "disk", disk = (path = "${folder}/data", writable = true))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]
);
const main :Workerd.Worker = (
  modules = ${list(Object.keys(worker.modules).map((n) => `(name = "${n}", esModule = embed "${n}")`))},
  compatibilityDate = "${worker.date ?? "2026-11-17"}",
  bindings = ${list(Object.entries(worker.objects).map(([b, c]) => `(name = "${b}", durableObjectNamespace = "${c}")`))},
  durableObjectNamespaces = ${list(classes.map((c) => `(className = "${c}", uniqueKey = "test-${c}", enableSql = true)`))},
  durableObjectStorage = (localDisk = "disk")
);
`,
  );
  const child = spawn(binary, ["serve", "--control-fd=3", path.join(folder, "config.capnp")], { stdio: ["ignore", "ignore", "ignore", "pipe"] });
  const exited = new Promise<void>((resolve) => child.on("exit", () => resolve()));
  const port = await new Promise<number>((resolve, reject) => {
    let text = "";
    child.stdio[3]!.on("data", (d: Buffer) => {
      text += d.toString();
      const line = text.split("\n").find((l) => l.includes('"listen"'));
      if (line !== undefined) resolve((JSON.parse(line) as { port: number }).port);
    });
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`workerd ended (${code})`)));
  });
  return {
    origin: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      child.kill();
      await exited;
      fs.rmSync(folder, { recursive: true });
    },
  };
}
