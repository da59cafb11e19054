/* caches: nothing is ever found, so that code that asks it first works. */

import { badParameter } from "../errors.ts";
import { type Body, hasContent, takeContent } from "../http/body.ts";
import { isRequest } from "../http/request.ts";

export class Cache {
  get [Symbol.toStringTag](): string {
    return "Cache";
  }

  async match(_request: unknown): Promise<undefined> {
    if (arguments.length === 0) throw badParameter("match", "Cache", 1, "Request or string");
    return undefined;
  }

  async put(request: unknown, response: Body): Promise<void> {
    if (isRequest(request) && request.method !== "GET") throw new TypeError("Cannot cache response to non-GET request.");
    if ((response as unknown as Response).status === 206) throw new TypeError("Cannot cache response to a range request (206 Partial Content).");
    if (response.headers.get("vary")?.includes("*") === true) throw new TypeError("Cannot cache response with 'Vary: *' header.");
    // Whoever puts a response there has given it away.
    if (hasContent(response)) {
      const content = takeContent(response);
      if (content.kind === "stream") await content.stream.cancel();
      if (content.kind === "incoming") content.incoming.cancel(undefined);
    }
  }

  async delete(_request: unknown): Promise<boolean> {
    return false;
  }
}

export class CacheStorage {
  readonly default = new Cache();

  get [Symbol.toStringTag](): string {
    return "CacheStorage";
  }

  async open(_name: string): Promise<Cache> {
    return new Cache();
  }
}
