/*
 * A Dormouse that belongs to a test: the process, where it serves, and what it
 * has printed.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** How much of what a server prints is kept for whoever asks. */
const logLimit = 256 * 1024;

/** How long a server may take to be ready, and to end after it was asked. */
const patience = 60_000;

/** The command: as the option says, $DORMOUSE_BIN, on the path, or `bin/` of a folder above. */
export function findBinary(named, from = process.cwd()) {
  named ??= process.env.DORMOUSE_BIN;
  if (named !== undefined && named !== "") {
    if (existsSync(named)) return resolve(named);
    throw new Error(`there is no dormouse at ${named}`);
  }
  const places = (process.env.PATH ?? "").split(delimiter).filter((p) => p !== "");
  for (let dir = resolve(from); ; dir = dirname(dir)) {
    places.push(join(dir, "bin"), join(dir, "node_modules", ".bin"));
    if (dir === dirname(dir)) break;
  }
  for (const place of places) {
    const path = join(place, "dormouse");
    if (existsSync(path)) return path;
  }
  throw new Error("dormouse was not found: put it on PATH, or name it with DORMOUSE_BIN or the option `binary`");
}

/** A running server. Its data folder goes with it, unless the test has named one. */
export class Process {
  url = "";
  admin = "";
  #child;
  #data;
  #ownsData;
  #log = "";
  #ended;

  static async start(options, more) {
    const p = new Process();
    try {
      await p.#start(options, more);
    } catch (error) {
      await p.stop();
      throw error;
    }
    return p;
  }

  async #start({ project = ".", binary, hibernateAfter, data, args = [], env = {} }, more = []) {
    this.#ownsData = data === undefined;
    this.#data = data ?? (await mkdtemp(join(tmpdir(), "dormouse-test-")));
    const folders = (Array.isArray(project) ? project : [project]).map((p) => resolve(p instanceof URL ? fileURLToPath(p) : p));
    const all = ["serve", ...folders, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", this.#data,
      "--guests", "1", "--spare-guest", "off"];
    if (hibernateAfter !== undefined) all.push("--hibernate-after", typeof hibernateAfter === "number" ? `${hibernateAfter}ms` : hibernateAfter);
    // Settings of whoever runs the tests are not the tests' settings.
    const own = Object.fromEntries(Object.entries(process.env).filter(([k]) => !k.startsWith("DORMOUSE_") || k === "DORMOUSE_NODE"));
    this.#child = spawn(findBinary(binary), [...all, ...more, ...args], { env: { ...own, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    this.#ended = once(this.#child, "close");
    this.#ended.catch(() => {});
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (text) => (this.#log = (this.#log + text).slice(-logLimit)));
    }
    await this.#ready();
  }

  /** What it has printed, the last of it. */
  get log() {
    return this.#log;
  }

  get pid() {
    return this.#child.pid;
  }

  /** The addresses stand in the greeting. */
  #ready() {
    return new Promise((resolve, reject) => {
      const give = setTimeout(() => fail(`was not ready after ${patience / 1000} s`), patience);
      const fail = (what) => {
        clearTimeout(give);
        reject(new Error(`dormouse ${what}:\n${this.#log}`));
      };
      this.#child.once("error", (e) => fail(e.message));
      this.#child.once("close", (code, signal) => fail(`ended (${signal ?? code})`));
      this.#child.stdout.on("data", () => {
        const [, url] = /^.* is ready at (\S+)$/m.exec(this.#log) ?? [];
        const [, admin] = /^ {2}admin +(http\S+)\/$/m.exec(this.#log) ?? [];
        if (url === undefined || admin === undefined || this.url !== "") return;
        clearTimeout(give);
        [this.url, this.admin] = [url, admin];
        resolve();
      });
    });
  }

  /** Ends the server: as Ctrl-C does, or at once. */
  async stop(signal = "SIGINT") {
    if (this.#child?.pid !== undefined) {
      this.#child.kill(signal);
      const kill = setTimeout(() => this.#child.kill("SIGKILL"), patience);
      await this.#ended.catch(() => {});
      clearTimeout(kill);
    }
    if (this.#ownsData && this.#data !== undefined) await rm(this.#data, { recursive: true, force: true });
  }
}

/** Asks until the answer is not undefined. */
export async function until(what, ask, limit = patience) {
  const end = performance.now() + limit;
  for (let last; ; await new Promise((r) => setTimeout(r, 10))) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) throw new Error(`waited ${limit / 1000} s until ${what}`, { cause: last });
  }
}
