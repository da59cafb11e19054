/*
 * What every library here has to show: it runs as it comes from npm; its object
 * leaves memory with clients connected and comes back for the next event,
 * constructed exactly once; no client sees a close.
 */

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { Objects } from "../../sdk/test/objects.js";
import { Process, until } from "../../sdk/test/server.js";

export { until };

/** Serves the project beside a test file, until the test ends. Objects hibernate after a third of a second. */
export async function serve(t, url, options = {}) {
  const server = await Process.start({ project: dirname(fileURLToPath(url)), hibernateAfter: "300ms", ...options });
  t.after(() => server.stop());
  return new World(t, server);
}

/** Options of serve with variables that are known only now: those of a file of secrets, which goes with the test. */
export async function withSecrets(t, secrets) {
  const folder = await mkdtemp(join(tmpdir(), "dormouse-secrets-"));
  t.after(() => rm(folder, { recursive: true }));
  const file = join(folder, "secrets.json");
  await writeFile(file, JSON.stringify(secrets));
  return { args: ["--secret-file", file] };
}

class World {
  #server;
  #objects;
  #watched = [];

  constructor(t, server) {
    this.#server = server;
    this.#objects = new Objects(server.admin);
    t.after(() => {
      if (t.passed === false) t.diagnostic(`dormouse printed:\n${server.log}`);
    });
  }

  get url() {
    return this.#server.url;
  }

  get host() {
    return new URL(this.url).host;
  }

  get ws() {
    return this.url.replace("http", "ws");
  }

  get log() {
    return this.#server.log;
  }

  object(namespace, id) {
    return this.#objects.one(namespace, id);
  }

  /** Objects that are in memory or have sockets, of a class. */
  async objectsOf(className) {
    return (await this.#objects.get(`/api/objects?class=${className}`)).objects;
  }

  /** Remembers whether a client, anything with `addEventListener`, loses its connection. */
  watch(client, name) {
    const seen = { name, closes: 0 };
    client.addEventListener("close", () => seen.closes++);
    this.#watched.push(seen);
    return client;
  }

  /** What is watched has lost nothing. */
  noCloses() {
    assert.deepEqual(this.#watched.filter((w) => w.closes > 0), [], "clients that saw a close");
  }

  /**
   * Waits until the object has hibernated, then does something that wakes it. It
   * was constructed once for that, every socket of it was still there, and
   * nobody saw a close. With `crash` its guest process is killed in its sleep,
   * so that nothing at all can have been kept there. With `told` it does not
   * leave by itself, but when it is told to.
   */
  async overSleep(object, wake, { crash = false, told = false } = {}) {
    if (told) await object.hibernate();
    await object.asleep();
    const before = await object.timeline();
    const asleep = await object.look();
    assert.equal(asleep.state, "hibernated");
    assert.ok(!asleep.guest, "asleep in no guest");
    if (crash) await this.#objects.killGuests();
    const result = await wake();
    // On a slow machine it may have slept again meanwhile: then it woke again, once.
    const since = (await object.timeline()).slice(before.length).map((m) => m.what);
    assert.ok(since.length > 0, "the object has been woken");
    assert.deepEqual(since, since.map((_, i) => (i % 2 === 0 ? "wake" : "sleep")), "one construction for each sleep");
    this.noCloses();
    return result;
  }
}

/** The messages of a client, for who waits for one of them. */
export class Inbox {
  all = [];
  #waiting = [];

  constructor(client, read = (e) => (typeof e.data === "string" ? JSON.parse(e.data) : e.data)) {
    client.addEventListener("message", (e) => this.put(read(e)));
  }

  put(message) {
    this.all.push(message);
    for (const w of [...this.#waiting]) w();
  }

  /** The first message for which `is` holds; it is taken out. */
  take(what, is) {
    return new Promise((resolve, reject) => {
      const look = () => {
        const at = this.all.findIndex(is);
        if (at < 0) return;
        clearTimeout(timer);
        this.#waiting.splice(this.#waiting.indexOf(look), 1);
        resolve(this.all.splice(at, 1)[0]);
      };
      const timer = setTimeout(() => reject(new Error(`waited for ${what}; there is ${JSON.stringify(this.all)}`)), 30_000);
      this.#waiting.push(look);
      look();
    });
  }

  type(type) {
    return this.take(type, (m) => m.type === type);
  }
}

/** Waits for an event of anything with `addEventListener`. */
export function event(target, name) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited for ${name}`)), 30_000);
    target.addEventListener(name, (e) => {
      clearTimeout(timer);
      resolve(e);
    }, { once: true });
  });
}
