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
    const objects = new Objects(process.admin);
    return new Dormouse(process, objects, await workersOf(process.admin, await objects.workers()));
  } catch (error) {
    await process.stop();
    throw error;
  }
}

/** The Workers of a server by their names, the one that clients reach first. */
async function workersOf(admin, names) {
  const list = new Map();
  for (const name of names) {
    const remote = new Remote(admin, names.length === 1 ? "" : `/workers/${encodeURIComponent(name)}`);
    list.set(name, new Worker(remote, await makeEnv(remote)));
  }
  return list;
}

/** One Worker of a server. */
class Worker {
  #remote;
  env;

  constructor(remote, env) {
    this.#remote = remote;
    this.env = env;
  }

  /** Runs a function in the Worker, with its `env`. */
  inWorker(f, ...args) {
    return this.#remote.run({ do: "run", source: String(f), args });
  }

  /** Sets the clock of its objects. */
  setClock(ahead) {
    return this.#remote.tellWorker("/api/test/clock", { ahead_ms: ahead });
  }

  deleteAll() {
    return this.#remote.tellWorker("/api/test/delete-all");
  }
}

class Dormouse {
  #process;
  #remote;
  #objects;
  #workers;
  #first;
  #ahead = 0;

  constructor(process, objects, workers) {
    this.#process = process;
    this.#remote = new Remote(process.admin);
    this.#objects = objects;
    this.#workers = workers;
    [this.#first] = workers.values();
  }

  /** The bindings of the Worker, of several the first. */
  get env() {
    return this.#first.env;
  }

  /** One of several Workers, by the name in its configuration: its `env` and `inWorker`. */
  worker(name) {
    if (this.#workers.size === 1) throw new TypeError("one Worker runs here: it needs no name");
    const found = this.#workers.get(name);
    if (found === undefined) throw new TypeError(`no Worker ${JSON.stringify(name)} runs here, but ${[...this.#workers.keys()].map((n) => JSON.stringify(n)).join(", ")}`);
    return found;
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
    return this.#first.inWorker(f, ...args);
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
  async deleteAll() {
    for (const worker of this.#workers.values()) await worker.deleteAll();
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
    for (const worker of this.#workers.values()) await worker.setClock(this.#ahead + ms);
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
