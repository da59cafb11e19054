/*
 * Tests of Durable Objects, in any runner: a Dormouse of their own, stubs of its
 * objects, their insides, their sleep, their death, and a clock that can be set.
 */

import { makeEnv, place, Remote } from "./env.js";
import { Objects } from "./objects.js";
import { Process } from "./server.js";

/** Starts a server. It ends with `stop()`, or at the end of the block that it was declared in with `await using`. */
export async function start(options = {}) {
  const process = await Process.start(options, ["--testing"]);
  try {
    const remote = new Remote(process.admin);
    return new Dormouse(process, remote, await makeEnv(remote));
  } catch (error) {
    await process.stop();
    throw error;
  }
}

class Dormouse {
  #process;
  #remote;
  #objects;
  #ahead = 0;
  env;

  constructor(process, remote, env) {
    this.#process = process;
    this.#remote = remote;
    this.#objects = new Objects(process.admin);
    this.env = env;
  }

  /** Where the Worker is reached. */
  get url() {
    return this.#process.url;
  }

  /** What the server and the code have printed, the last 256 KiB of it. */
  get log() {
    return this.#process.log;
  }

  /** A request to the Worker: a path, or a URL whose host does not matter. */
  fetch(input, init) {
    const { pathname, search } = new URL(input instanceof Request ? input.url : input, this.url);
    return fetch(input instanceof Request ? new Request(this.url + pathname + search, input) : this.url + pathname + search, init);
  }

  /** Runs a function in an object, with its instance and its `ctx`. It gets `args`, and sees nothing else of the test. */
  async inside(stub, f, ...args) {
    return this.#remote.run({ do: "run", source: String(f), args }, place(stub).path);
  }

  /** Runs a function in the Worker, with its `env`. */
  inWorker(f, ...args) {
    return this.#remote.run({ do: "run", source: String(f), args });
  }

  /** Runs the alarm of an object now, in place of later. False if it has none. */
  async runAlarm(stub) {
    return this.#remote.run({ do: "alarm" }, place(stub).path);
  }

  /** Has an object leave memory once nothing is in progress in it, not even a timer. Its sockets stay. */
  async hibernate(stub) {
    return this.#seen(stub).hibernate();
  }

  /** The same, and its sockets end without a Close frame. */
  async evict(stub) {
    return this.#remote.tell(`/api/test/evict${place(stub).path}?sockets=close`);
  }

  /** Kills the process that objects run in, with `kill -9`, and waits until another runs. Sockets stay. */
  crash() {
    return this.#objects.killGuests();
  }

  /** Ends every object and removes what they have stored, and their alarms. */
  deleteAll() {
    return this.#remote.tell("/api/test/delete-all");
  }

  /** "active", "idle", "hibernated" (with sockets), "inactive" or "broken". */
  async state(stub) {
    return this.#seen(stub).state();
  }

  /** How often an object's constructor has run. */
  async constructions(stub) {
    return this.#seen(stub).constructions();
  }

  /** Waits until an object has left memory by itself. */
  async asleep(stub) {
    return this.#seen(stub).asleep();
  }

  /** Sets the clock ahead by so many ms, beyond what it is ahead already. What alarms are then due begin to run. */
  async advance(ms) {
    await this.#remote.tell("/api/test/clock", { ahead_ms: this.#ahead + ms });
    this.#ahead += ms;
  }

  /** What the objects take for the time. */
  now() {
    return Date.now() + this.#ahead;
  }

  stop() {
    return this.#process.stop();
  }

  [Symbol.asyncDispose]() {
    return this.stop();
  }

  #seen(stub) {
    const { namespace, id } = place(stub);
    return this.#objects.one(namespace, id);
  }
}
