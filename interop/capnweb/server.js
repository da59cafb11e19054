import { newWorkersRpcResponse, RpcTarget as WebTarget } from "capnweb";
import { DurableObject, RpcTarget } from "cloudflare:workers";

let disposed = 0;

class Counter extends RpcTarget {
  #n;

  constructor(n) {
    super();
    this.#n = n;
  }

  add(n) {
    return (this.#n += n);
  }

  [Symbol.dispose]() {
    disposed++;
  }
}

class User extends WebTarget {
  constructor(name) {
    super();
    this.name_ = name;
  }

  greet(greeting) {
    return `${greeting} ${this.name_}`;
  }
}

/** What a session can be asked. It has state of its own. */
class Session extends WebTarget {
  #counter = new Counter(5);

  add(a, b) {
    return a + b;
  }

  tomorrow(date) {
    return new Date(date.getTime() + 86_400_000);
  }

  async each(list, f) {
    const results = [];
    for (const x of list) results.push(await f(x));
    return results;
  }

  fails() {
    throw new TypeError("bad");
  }

  user(name) {
    return new User(name);
  }

  counter() {
    return this.#counter;
  }
}

export class Api extends DurableObject {
  fetch(request) {
    return newWorkersRpcResponse(request, new Session());
  }

  counter(n) {
    return new Counter(n);
  }

  isSameTarget() {
    return RpcTarget === WebTarget;
  }

  async each(list, f) {
    const results = [];
    for (const x of list) results.push(await f(x));
    return results;
  }

  disposed() {
    return disposed;
  }
}

export default {
  async fetch(request, env) {
    const api = env.Api.getByName("main");
    if (new URL(request.url).pathname !== "/native") return api.fetch(request);
    // The same through stubs: an object with a life of its own, a promise that is called, a callback.
    const pipelined = await api.counter(1).add(1);
    let later;
    {
      using counter = await api.counter(2);
      later = await counter.add(3);
    }
    return Response.json([pipelined, later, await api.each([1, 2], (x) => x * 10), await api.isSameTarget()]);
  },
};
