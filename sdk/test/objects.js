/*
 * Objects of a running server, as an operator sees them: docs/admin-api.md.
 */

import { until } from "./server.js";

export class Objects {
  #admin;

  constructor(admin) {
    this.#admin = admin;
  }

  async ask(path, init) {
    const answer = await fetch(this.#admin + path, init);
    const body = await answer.json();
    return { status: answer.status, body };
  }

  async get(path) {
    const { status, body } = await this.ask(path);
    if (status !== 200) throw new Error(`${path}: ${body.error ?? status}`);
    return body;
  }

  /** One object, looked at from outside: nothing here wakes it. */
  one(namespace, id) {
    return new Seen(this, `/api/objects/${encodeURIComponent(namespace)}/${encodeURIComponent(id)}`);
  }

  async guests() {
    return (await this.get("/api/guests")).guests;
  }

  /** The names of the Workers, the one that clients reach first; of one alone an empty name. */
  async workers() {
    return [...new Set((await this.guests()).map((g) => g.worker ?? ""))];
  }

  /** The process that an object runs in, or would: `kill -9` of it is the crash of a guest. */
  async killGuests() {
    const killed = (await this.guests()).filter((g) => g.state === "running" && g.pid > 0);
    for (const g of killed) process.kill(g.pid, "SIGKILL");
    await until("other guests run", async () => {
      const now = await this.guests();
      const running = now.filter((g) => g.state === "running");
      return killed.every((k) => running.some((g) => g.worker === k.worker && !killed.some((k) => k.pid === g.pid))) && !running.some((g) => killed.some((k) => k.pid === g.pid));
    });
  }
}

class Seen {
  #objects;
  #path;

  constructor(objects, path) {
    this.#objects = objects;
    this.#path = path;
  }

  look() {
    return this.#objects.get(this.#path);
  }

  /** How often its constructor has run since the server began. */
  async constructions() {
    return (await this.timeline()).filter((m) => m.what === "wake").length;
  }

  /** When it woke and slept, oldest first. */
  async timeline() {
    return (await this.#objects.get(`${this.#path}/timeline`)).timeline;
  }

  async state() {
    const { status, body } = await this.#objects.ask(this.#path);
    if (status === 404) return "inactive"; // neither in memory nor with sockets
    if (status !== 200) throw new Error(body.error);
    return body.state;
  }

  /** Waits until it has left memory by itself. */
  async asleep() {
    await until("the object sleeps", async () => {
      const state = await this.state();
      return state === "hibernated" || state === "inactive";
    }).catch(async (error) => {
      const { body } = await this.#objects.ask(this.#path);
      throw new Error(`${error.message}; it is ${JSON.stringify(body, null, 1)}`);
    });
  }

  /** Has it leave memory now, once nothing is in progress. */
  async hibernate() {
    await until("the object hibernates", async () => {
      const { status, body } = await this.#objects.ask(`${this.#path}/hibernate`, { method: "POST" });
      if (status === 200 || status === 404) return true;
      throw new Error(JSON.stringify(body));
    }, 30_000);
  }
}
