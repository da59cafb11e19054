// Starts the open-source `workerd` with the scenario player in it, for recording what it answers.

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const COMPATIBILITY_DATE = "2026-11-17";

/** What one step of a scenario showed: labels and values, in order. */
export type Seen = [label: string, value: string][];

/** Where the binary is: `WORKERD_BIN`, or the one `npm ci` puts into `tools`; undefined if absent. */
export function findWorkerd(): string | undefined {
  const tools = join(here, "../../../../tools/node_modules");
  const candidates = [
    process.env["WORKERD_BIN"],
    join(tools, "@cloudflare/workerd-linux-64/bin/workerd"),
    join(tools, "workerd/bin/workerd"),
  ];
  return candidates.find((path) => path !== undefined && existsSync(path));
}

/** A running workerd. */
export class Workerd {
  readonly folder: string;
  #process: ChildProcess;
  #origin: string;

  private constructor(folder: string, child: ChildProcess, origin: string) {
    this.folder = folder;
    this.#process = child;
    this.#origin = origin;
  }

  /** Starts `binary` on a free loopback port, its data in `folder`: a new temporary one, or one that was kept. */
  static async start(binary: string, folder = mkdtempSync(join(tmpdir(), "workerd-"))): Promise<Workerd> {
    mkdirSync(join(folder, "data"), { recursive: true });
    writeFileSync(join(folder, "config.capnp"), config(folder));
    const child = spawn(binary, ["serve", "--control-fd=3", join(folder, "config.capnp")], {
      stdio: ["ignore", "inherit", process.env["WORKERD_LOG"] === undefined ? "ignore" : "inherit", "pipe"],
    });
    const port = await new Promise<number>((resolve, reject) => {
      let text = "";
      child.stdio[3]!.on("data", (chunk: Buffer) => {
        text += chunk;
        const line = text.split("\n").find((l) => l.includes('"listen"'));
        if (line !== undefined) resolve(JSON.parse(line).port);
      });
      child.on("exit", (code) => reject(new Error(`workerd ended with ${code} before it listened`)));
    });
    return new Workerd(folder, child, `http://127.0.0.1:${port}`);
  }

  /** Plays one step; the answer"s own failure is an observation too. */
  async play(backend: string, object: string, scenario: string, step: number): Promise<Seen> {
    const response = await fetch(`${this.#origin}/${backend}/${encodeURIComponent(object)}`, {
      method: "POST",
      body: JSON.stringify({ scenario, step }),
    });
    const text = await response.text();
    return response.ok ? JSON.parse(text) as Seen : [["(event)", `fails ${response.status}: ${text.split("\n")[0]}`]];
  }

  /** Runs `n` operations of a bench in one event of the object; milliseconds, the request included. */
  async bench(object: string, bench: string, n: number): Promise<number> {
    const begun = performance.now();
    const response = await fetch(`${this.#origin}/sql/${object}`, { method: "POST", body: JSON.stringify({ bench, n }) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${bench}: ${text}`);
    return performance.now() - begun;
  }

  /** The database files of the namespace. */
  databases(namespace: string): string[] {
    const dir = join(this.folder, "data", namespace);
    return readdirSync(dir).filter((f) => f.endsWith(".sqlite") && f !== "metadata.sqlite").map((f) => join(dir, f));
  }

  /** Ends the process and, unless `keep`, removes its folder. */
  async stop(keep = false): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill("SIGTERM");
    await ended;
    if (!keep) this.remove();
  }

  /** Removes the folder of one that was stopped and kept. */
  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}

function config(folder: string): string {
  const files = ["kit", "scenarios"].flatMap((dir) =>
    readdirSync(join(here, dir)).filter((f) => f.endsWith(".js")).map((f) => join(dir, f)));
  const main = join("kit", "object.js");
  const modules = [main, ...files.filter((f) => f !== main)]
    .map((f) => `    (name = "${f}", esModule = embed "${relative(folder, join(here, f))}"),`).join("\n");
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .player),
    (name = "disk", disk = (path = "${join(folder, "data")}", writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const player :Workerd.Worker = (
  modules = [
${modules}
  ],
  compatibilityDate = "${COMPATIBILITY_DATE}",
  durableObjectNamespaces = [
    (className = "SqlPlayer", uniqueKey = "sql", enableSql = true),
    (className = "KvPlayer", uniqueKey = "kv"),
    (className = "NoAlarm", uniqueKey = "plain", enableSql = true),
  ],
  durableObjectStorage = (localDisk = "disk"),
  bindings = [
    (name = "sql", durableObjectNamespace = "SqlPlayer"),
    (name = "kv", durableObjectNamespace = "KvPlayer"),
    (name = "plain", durableObjectNamespace = "NoAlarm"),
  ],
);
`;
}
