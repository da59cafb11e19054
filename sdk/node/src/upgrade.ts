/*
 * Outbound WebSockets: the connection is the far end of a pair (a bridge), whose
 * near end authors hold. So it can be accepted, or passed on to a client, as
 * any other end.
 */

import { createHash, randomBytes } from "node:crypto";
import type http from "node:http";
import type https from "node:https";
import type { Duplex } from "node:stream";
import { ambient, scopeNow } from "./ambient.ts";
import type { End, Payload, Sink } from "./end.ts";
import { type Answer as Refusal, answerOf, fieldsOf, grouped, placeOf } from "./http/client.ts";
import { nativeProcess } from "./native.ts";
import type { Owner } from "./owner.ts";
import { outside, type Scope } from "./scope.ts";
import { ClientSocket, type Listener } from "./wsclient.ts";

/** While more than this waits to leave towards the near end, the connection is not read. */
const maxWaiting = 1 << 20;

/** What a server said to a request for an upgrade. */
export type Answer =
  | { upgraded: true; headers: [string, string][]; protocol: string }
  | { upgraded: false; refusal: Refusal };

/** Asks for an upgrade. If it is granted, `far` becomes the bridge to the connection, for `owner`. */
export async function upgrade(owner: Owner, far: End, url: URL, headers: [string, string][], signal: AbortSignal | null): Promise<Answer> {
  const key = randomBytes(16).toString("base64");
  const secure = url.protocol === "https:" || url.protocol === "wss:";
  const module = nativeProcess.getBuiltinModule(secure ? "https" : "http") as typeof http | typeof https;
  const fields = headers.filter(([name]) => !hop.has(name.toLowerCase()));
  fields.push(["Connection", "Upgrade"], ["Upgrade", "websocket"], ["Sec-WebSocket-Version", "13"], ["Sec-WebSocket-Key", key]);
  return new Promise((resolve, reject) => {
    outside(() => {
      const request = module.request(
        {
          agent: false, // a connection of its own: an upgrade cannot be asked for again on another when a kept one is gone
          protocol: secure ? "https:" : "http:",
          ...placeOf(url),
          method: "GET",
          headers: grouped(fields),
          signal: signal ?? undefined,
        },
      );
      request.on("upgrade", (response: http.IncomingMessage, socket: Duplex, head: Buffer) => {
        if (response.headers["sec-websocket-accept"] !== acceptOf(key)) {
          socket.destroy();
          reject(new TypeError("WebSocket handshake failed: wrong Sec-WebSocket-Accept"));
          return;
        }
        if (owner.gone) {
          socket.destroy();
          return;
        }
        new Bridge(far, owner, url, socket, head);
        resolve({ upgraded: true, headers: fieldsOf(response), protocol: response.headers["sec-websocket-protocol"] ?? "" });
      });
      request.on("response", (response) => {
        resolve({ upgraded: false, refusal: answerOf({ method: "GET", url }, response, false, signal) });
      });
      request.on("error", (e) => reject(new TypeError(`fetch failed: ${e.message}`)));
      request.end();
    });
  });
}

const hop = new Set(["host", "connection", "upgrade", "keep-alive", "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions", "transfer-encoding", "content-length", "te"]);

function acceptOf(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

/** The far end: what its peer says goes out, what comes in is said to its peer. */
class Bridge implements Sink {
  readonly #owner: Owner;
  readonly #client: ClientSocket;
  // What waits until the owner's writes are durable; null when nothing has to wait.
  #queue: (() => void)[] | null = null;
  // Why nothing is read from the connection.
  #behind = false; // the client at the other end does not read
  #crowded = false; // the way to the host is full

  constructor(end: End, owner: Owner, url: URL, socket: Duplex, head: Buffer) {
    this.#owner = owner;
    end.task = owner.begin("outbound socket", url.href);
    ambient.sockets.standard(end, owner, this, "bridge");
    // What the server does not read, the peer shall not say.
    this.#client = new ClientSocket(socket, head, inward(end, () => this.#said()), (paused) => {
      if (end.local || owner.gone) return;
      owner.touch();
      owner.turns.out.pause(end.id, paused);
    });
  }

  message(data: Payload): void {
    this.#out(() => this.#client.send(data));
  }

  closed(code: number, reason: string, clean: boolean): void {
    this.#out(() => this.#client.close(code === 1005 || !clean ? 0 : code, reason));
  }

  errored(): void {
    this.#client.destroy();
  }

  buffered(bytes: number): void {
    if (bytes > maxWaiting) this.#behind = true;
    else if (bytes < maxWaiting / 2) this.#behind = false;
    this.#read();
  }

  /** A message has gone to the peer. */
  #said(): void {
    if (this.#crowded || !ambient.channel.crowded) return;
    this.#crowded = true;
    this.#read();
    ambient.channel.whenRelieved(() => {
      this.#crowded = false;
      this.#read();
    });
  }

  #read(): void {
    const client = this.#client as ClientSocket | undefined; // not there while it reads what came with the handshake
    if (this.#behind || this.#crowded) client?.pause();
    else client?.resume();
  }

  /** The owner has left memory. */
  gone(): void {
    this.#client.close(1012, "");
    this.#client.end();
  }

  /** An output as any other: behind what its owner has written. */
  #out(write: () => void): void {
    if (this.#queue !== null) {
      this.#queue.push(write);
      return;
    }
    const durable = this.#owner.whenDurable();
    if (durable === null) {
      write();
      return;
    }
    const queue = (this.#queue = [write]);
    void durable.then(() => {
      this.#queue = null;
      for (const w of queue) w();
    });
  }
}

/** What the connection says to the near end. */
function inward(end: End, said: () => void): Listener {
  return {
    message(data) {
      end.send(typeof data === "string" ? data : new Uint8Array(data));
      said();
    },
    closed(code, reason, clean) {
      end.closedOut = end.closedIn = true;
      if (clean) end.close(code === 1005 ? 0 : code, reason);
      else lose(end);
      over(end);
    },
    errored(message) {
      end.failed = true;
      if (end.local) end.peer?.sink?.errored(message);
      else lose(end);
      over(end);
    },
  };
}

function over(end: End): void {
  if (end.task !== null) end.owner!.finish(end.task);
  end.task = null;
  ambient.sockets.forget(end);
}

/** The connection broke: the peer sees 1006. */
function lose(end: End): void {
  if (end.local) end.peer?.sink?.closed(1006, "WebSocket disconnected without sending Close frame.", false);
  else ambient.sockets.release(end);
}

/** new WebSocket(url): the near end, connecting. */
export function connect(text: string, protocols: string[]): End {
  const url = parse(text);
  if (protocols.some((p) => !/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(p))) {
    throw new DOMException("WebSocket Constructor: The protocol header token is invalid.", "SyntaxError");
  }
  if (new Set(protocols).size !== protocols.length) {
    throw new DOMException("WebSocket Constructor: The protocols header cannot have repeating values.", "SyntaxError");
  }
  const [near, far] = ambient.sockets.pair();
  near.outbound = near.connecting = true;
  near.url = url.href;
  const cancel = new AbortController();
  near.cancel = () => cancel.abort();
  void start(scopeNow(), url, protocols, near, far, cancel.signal);
  return near;
}

async function start(scope: Scope, url: URL, protocols: string[], near: End, far: End, signal: AbortSignal): Promise<void> {
  const { owner } = scope;
  const task = owner.begin("outbound socket", `connecting to ${url.href}`);
  const headers: [string, string][] = protocols.length > 0 ? [["Sec-WebSocket-Protocol", protocols.join(", ")]] : [];
  let problem = "";
  try {
    await owner.whenDurable();
    const answer = await upgrade(owner, far, url, headers, signal);
    if (answer.upgraded) {
      near.protocol = answer.protocol === "" ? null : answer.protocol;
      near.extensions = null;
    } else {
      answer.refusal.close();
      problem = `Failed to establish the WebSocket connection: expected server to reply with HTTP status code 101 (switching protocols), but received ${answer.refusal.status} instead.`;
    }
  } catch (e) {
    problem = e instanceof Error ? e.message : String(e);
  }
  owner.finish(task);
  if (owner.gone) return;
  if (problem === "") {
    near.sink?.opened?.();
    return;
  }
  near.sink?.errored(problem);
  near.sink?.closed(1006, "Failed to establish websocket connection", false);
}

function parse(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new DOMException("WebSocket Constructor: The url is invalid.", "SyntaxError");
  }
  if (url.protocol !== "ws:" && url.protocol !== "wss:") {
    throw new DOMException("WebSocket Constructor: The url scheme must be ws or wss.", "SyntaxError");
  }
  if (url.hash !== "") throw new DOMException("WebSocket Constructor: The url fragment must be empty.", "SyntaxError");
  return url;
}
