/*
 * `env` as a test sees it: a namespace gives stubs, a stub is fetched from,
 * connected to and called, and everything else is called where the Worker is.
 */

import { createHash, createHmac, randomBytes } from "node:crypto";
import v8 from "node:v8";

/**
 * Values as the guest writes them, which is how storage does: Node's own
 * v8.serialize has a form of its own for typed arrays.
 */
function serialize(value) {
  const s = new v8.Serializer();
  s._getDataCloneError = TypeError;
  s.writeHeader();
  s.writeValue(value);
  return s.releaseBuffer();
}

function deserialize(bytes) {
  const d = new v8.Deserializer(bytes);
  d.readHeader();
  return d.readValue();
}

const errors = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

/** An error of over there, with its stack. */
function rebuilt({ name, message, stack, own }) {
  const error = new (Object.hasOwn(errors, name) ? errors[name] : Error)(message);
  Object.defineProperty(error, "stack", { value: stack, configurable: true, writable: true });
  if (error.name !== name) Object.defineProperty(error, "name", { value: name, configurable: true, writable: true });
  return Object.assign(error, own);
}

/** Says something to a Worker of a running server, and gives what comes of it. */
export class Remote {
  #admin;
  #worker;

  /** `worker` is the path of one of several. Who has an object, the server knows. */
  constructor(admin, worker = "") {
    this.#admin = admin;
    this.#worker = worker;
  }

  get webSockets() {
    return this.#admin.replace(/^http/, "ws");
  }

  fetch(path, init) {
    return fetch(this.#admin + path, init);
  }

  /** What the guest answers to `ask`, in an object or in the Worker. */
  async run(ask, at = "") {
    let body;
    try {
      body = serialize(ask);
    } catch (error) {
      throw new TypeError(`what a test says to its server has to be values that structured clone takes: ${error.message}`);
    }
    const answer = await this.fetch(`${at === "" ? this.#worker : ""}/api/test/run${at}`, { method: "POST", body });
    const bytes = Buffer.from(await answer.arrayBuffer());
    if (answer.status === 200) return deserialize(bytes);
    if (answer.status !== 422) throw new Error(`${answer.status}: ${bytes}`);
    const what = deserialize(bytes);
    throw what.own === undefined ? what.thrown : rebuilt(what);
  }

  /** Has something done that concerns an object. */
  async tell(path) {
    await this.#post(path);
  }

  /** Has something done that concerns the Worker. */
  async tellWorker(path, body) {
    await this.#post(this.#worker + path, body);
  }

  async #post(path, body) {
    const answer = await this.fetch(path, { method: "POST", body: body === undefined ? undefined : JSON.stringify(body) });
    if (answer.status === 200) return;
    throw new Error((await answer.json().catch(() => ({}))).error ?? `${path}: ${answer.status}`);
  }
}

/** An id, as those of Workers. */
class Id {
  #hex;

  constructor(hex, name) {
    this.#hex = hex;
    this.name = name;
  }

  toString() {
    return this.#hex;
  }

  equals(other) {
    return String(other) === this.#hex;
  }
}

/** docs/storage.md says how ids are made. */
class Namespace {
  #remote;
  #binding;
  #namespace;
  #key;

  constructor(remote, binding, namespace) {
    this.#remote = remote;
    this.#binding = binding;
    this.#namespace = namespace;
    this.#key = createHash("sha256").update(namespace).digest();
  }

  #mac(data) {
    return createHmac("sha256", this.#key).update(data).digest().subarray(0, 16);
  }

  #id(base, name) {
    return new Id(base.toString("hex") + this.#mac(base).toString("hex"), name);
  }

  idFromName(name) {
    return this.#id(this.#mac(`${name}`), `${name}`);
  }

  newUniqueId() {
    return this.#id(randomBytes(16));
  }

  idFromString(text) {
    if (!/^[0-9a-f]{64}$/i.test(text)) throw new TypeError("Invalid Durable Object ID: must be 64 hex digits");
    const id = this.#id(Buffer.from(text.slice(0, 32), "hex"));
    if (!id.equals(text.toLowerCase())) throw new TypeError("Durable Object ID is not valid for this namespace.");
    return id;
  }

  get(id) {
    return makeStub(this.#remote, this.#binding, this.#namespace, id);
  }

  getByName(name) {
    return this.get(this.idFromName(name));
  }
}

/** Where a stub leads; only `place` sees it. */
const places = new WeakMap();

/** What the server calls the object of a stub, and how it says so in a path. */
export function place(stub) {
  const at = places.get(stub);
  if (at === undefined) throw new TypeError("that is no stub of this server's env");
  return at;
}

function makeStub(remote, binding, namespace, id) {
  const text = id.name === undefined ? `${id}` : `name:${id.name}`;
  const path = `/${encodeURIComponent(namespace)}/${encodeURIComponent(text)}`;
  const which = id.name === undefined ? { id: `${id}` } : { name: id.name };
  const own = {
    id,
    name: id.name,
    fetch: (input, init) => {
      const request = new Request(input, init);
      const headers = new Headers(request.headers);
      headers.set("x-dormouse-test-url", request.url);
      const { method, body, signal } = request;
      return remote.fetch(`/api/test/fetch${path}`, { method, headers, body, signal, duplex: "half", redirect: "manual" });
    },
    connect: (url = "http://object/", { headers = {}, protocols } = {}) => connect(remote, path, url, headers, protocols),
  };
  const stub = called(remote, binding, which, [], own);
  places.set(stub, { namespace, id: text, path });
  return stub;
}

/** An open WebSocket with an object. Node's class takes headers beside the protocols. */
function connect(remote, path, url, headers, protocols) {
  const all = { ...Object.fromEntries(new Headers(headers)), "x-dormouse-test-url": String(url).replace(/^ws/, "http") };
  const socket = new WebSocket(`${remote.webSockets}/api/test/fetch${path}`, { headers: all, protocols: protocols ?? [] });
  return new Promise((resolve, reject) => {
    socket.addEventListener("open", () => resolve(socket), { once: true });
    socket.addEventListener("error", (e) => reject(new Error(`the object gave no WebSocket: ${e.message ?? e.error?.message ?? "refused"}`)), { once: true });
  });
}

/**
 * Something in `env`, by its path: called, it calls; awaited, it is read. The
 * start of a path is not awaited, so that it can be returned by an async function.
 */
function called(remote, binding, stub, path, own = {}) {
  const ask = (args) => remote.run({ do: "call", path: [binding, ...path], stub, args });
  return new Proxy(() => {}, {
    get: (_, name) => {
      if (name in own) return own[name];
      if (typeof name === "symbol") return undefined;
      if (name === "then") {
        if (path.length === 0) return undefined;
        return (yes, no) => ask(null).then(yes, no);
      }
      return called(remote, binding, stub, [...path, name]);
    },
    apply: (_, self, args) => ask(args),
  });
}

export async function makeEnv(remote) {
  const env = {};
  for (const { name, namespace, value } of await remote.run({ do: "bindings" })) {
    if (namespace !== undefined) env[name] = new Namespace(remote, name, namespace);
    else env[name] = value ?? called(remote, name, null, []);
  }
  return env;
}
