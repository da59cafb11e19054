/*
 * A host for tests: starts a guest process and speaks frames with it.
 */

import { type ChildProcess, spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { decode, HostFrames, type Said } from "./frames.ts";

/** The guest: as source, or bundled as the host does it (GUEST_MAIN). */
const main = process.env["GUEST_MAIN"] ?? fileURLToPath(new URL("../../src/main.ts", import.meta.url));

export interface Options {
  /** The Worker's module, as text; or the path of a file. */
  source?: string;
  /** Further files of the bundle. */
  files?: Record<string, string | Uint8Array>;
  classes?: string[];
  flags?: Record<string, boolean>;
  date?: string;
  limits?: Record<string, number>;
  bindings?: Record<string, unknown>;
  nodeFlags?: string[];
  /** Further members of the configuration. */
  config?: Record<string, unknown>;
}

/** The flags of a Worker of workerd's date. */
const today = Object.fromEntries(
  [
    "web_socket_auto_reply_to_close", "websocket_standard_binary_type", "websocket_close_reason_byte_limit", "durable_object_fetch_requires_full_url",
    "delete_all_deletes_alarm", "enable_ctx_exports", "rpc", "rpc_params_dup_stubs", "enhanced_error_serialization", "nodejs_compat", "nodejs_compat_v2", "enable_nodejs_global_timers",
  ].map((name) => [name, true]),
);

/** Pairs with Flags in flags.go. */
function flags(bundle: string, data: string): string[] {
  return [
    "--no-force-async-hooks-checks",
    "--enable-source-maps",
    "--no-global-search-paths",
    "--disallow-code-generation-from-strings",
    "--disable-warning=ExperimentalWarning",
    "--disable-warning=SecurityWarning",
    "--permission",
    `--allow-fs-read=${bundle}`,
    `--allow-fs-read=${path.dirname(main)}`,
    `--allow-fs-read=${data}`,
    `--allow-fs-write=${data}`,
    "--allow-net",
    "--allow-worker",
    "--allow-inspector",
    // For the tests that ask whether an instance is really gone.
    "--expose-gc",
  ];
}

export class Host {
  readonly folder: string;
  /** Where databases lie. */
  readonly data: string;
  readonly said: Said[] = [];
  readonly child: ChildProcess;
  readonly #stream: Duplex;
  readonly #waiting: { test: (s: Said) => unknown; resolve: (s: Said) => void; reject: (e: Error) => void; seen: number }[] = [];
  #rest: Buffer = Buffer.alloc(0);
  stderr = "";
  /** Whether what is asked for is durable at once. */
  durable = true;
  /** When set, gets what was said instead of `said`. */
  onSaid: ((s: Said) => void) | null = null;
  readonly exited: Promise<number | null>;
  #ended = false;
  readonly config: Record<string, unknown>;

  constructor(options: Options) {
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), "dormouse-guest-"));
    const bundle = path.join(this.folder, "bundle");
    fs.mkdirSync(bundle);
    fs.writeFileSync(path.join(bundle, "index.js"), options.source ?? "export default {};");
    for (const [name, content] of Object.entries(options.files ?? {})) fs.writeFileSync(path.join(bundle, name), content);
    const data = path.join(this.folder, "data");
    fs.mkdirSync(data);
    this.data = data;
    const classes = options.classes ?? [];
    this.config = {
      worker: "test",
      entry: path.join(bundle, "index.js"),
      data,
      template: "",
      classes: classes.map((name) => ({ name, namespace: `test-${name}`, sql: true })),
      bindings: {
        namespaces: classes.map((name, i) => ({ name: name.toUpperCase(), class: i, namespace: `test-${name}` })),
        services: [],
        assets: [],
        vars: {},
        missing: [],
        ...options.bindings,
      },
      compat: { date: options.date ?? "2026-11-17", flags: { ...today, ...options.flags } },
      limits: options.limits ?? {},
      inspect: false,
      ...options.config,
    };
    this.child = spawn(process.execPath, [...flags(bundle, data), ...(options.nodeFlags ?? []), main], {
      stdio: ["ignore", "inherit", "pipe", "pipe"],
      env: {},
    });
    this.child.stderr!.on("data", (d: Buffer) => (this.stderr += d.toString()));
    this.#stream = this.child.stdio[3] as Duplex;
    this.#stream.on("data", (d: Buffer) => this.#read(d));
    this.#stream.on("error", () => {});
    this.exited = new Promise((resolve) => {
      this.child.on("exit", (code) => {
        this.#ended = true;
        for (const w of this.#waiting.splice(0)) w.reject(new Error(`the guest ended (${code}): ${this.stderr}`));
        resolve(code);
      });
    });
  }

  /** Starts a guest and waits until it is ready. */
  static async start(options: Options): Promise<Host> {
    const host = new Host(options);
    host.write((f) => f.hello(7, host.config));
    await host.next((s) => s.type === "ready" || s.type === "unfit");
    return host;
  }

  #read(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32LE(0)) {
      const end = 4 + bytes.readUInt32LE(0);
      const said = decode(bytes[4]!, bytes.subarray(5, end));
      if (said.type === "awaitDurable" && this.durable) this.write((f) => f.durable(said.object, said.commit));
      if (this.onSaid === null) this.said.push(said);
      else this.onSaid(said);
      bytes = bytes.subarray(end);
    }
    this.#rest = Buffer.from(bytes);
    this.#look();
  }

  #look(): void {
    for (const w of [...this.#waiting]) {
      while (w.seen < this.said.length) {
        const s = this.said[w.seen++]!;
        if (!w.test(s)) continue;
        this.#waiting.splice(this.#waiting.indexOf(w), 1);
        w.resolve(s);
        break;
      }
    }
  }

  /** All frames in one write. */
  write(make: (f: HostFrames) => unknown): void {
    const frames = new HostFrames(this.data);
    make(frames);
    this.#stream.write(frames.take());
  }

  raw(bytes: Uint8Array): void {
    this.#stream.write(bytes);
  }

  /** The next frame that passes, from `from` on (default: everything that was said). */
  next<T extends Said = Said>(test: (s: Said) => unknown, from = 0): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#ended) {
        reject(new Error(`the guest has ended: ${this.stderr}`));
        return;
      }
      const limit = setTimeout(() => {
        reject(new Error(`not said within a minute; said: ${JSON.stringify(this.said.slice(-12))} ${this.stderr}`));
      }, 60_000);
      this.#waiting.push({
        test,
        seen: from,
        resolve: (s) => {
          clearTimeout(limit);
          resolve(s as T);
        },
        reject: (e) => {
          clearTimeout(limit);
          reject(e);
        },
      });
      this.#look();
    });
  }

  /** The next frame of a kind. */
  await<K extends Said["type"]>(type: K, from = 0): Promise<Extract<Said, { type: K }>> {
    return this.next<Extract<Said, { type: K }>>((s) => s.type === type, from);
  }

  of<K extends Said["type"]>(type: K): Extract<Said, { type: K }>[] {
    return this.said.filter((s): s is Extract<Said, { type: K }> => s.type === type);
  }

  /** Forgets what was said. */
  clear(): void {
    this.said.length = 0;
    for (const w of this.#waiting) w.seen = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stream.destroy();
    const limit = setTimeout(() => this.child.kill("SIGKILL"), 5000);
    await this.exited;
    clearTimeout(limit);
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}
