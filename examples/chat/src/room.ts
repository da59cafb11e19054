import { DurableObject } from "cloudflare:workers";
import type { Message, News, Person, Say } from "./protocol";

export interface Env {
  ROOMS: DurableObjectNamespace<ChatRoom>;
  /** A number, or its digits where it was set in `.dev.vars`. */
  SLEEPS_AFTER_SECONDS: number | string;
}

const HISTORY = 100; // messages that a room remembers
const LONGEST_NAME = 32; // characters
const LONGEST_TEXT = 2000; // characters
const LONGEST_REF = 64; // characters
const LARGEST_PORTRAIT = 128 * 1024; // bytes

// Ten messages at once, and then one every two seconds.
const PACE = 2000; // milliseconds
const BURST = 10;

/**
 * What the room knows of one socket. It is kept with the socket, outside the
 * room's memory, so it is still there when the room has slept and every field
 * of the class below is new.
 *
 * An attachment is small (16,384 bytes at most), so the portrait is not in it:
 * the picture is a row of the room's database, and its key is in here.
 */
interface Attachment {
  name: string;
  portrait: string | null;
  /** When everything that this client has said so far is paid for at PACE. */
  paidUntil: number;
}

/**
 * A room: the people in it, what they said last, and nothing that would keep
 * it in memory. There is no list of sockets and no timer here. Who is present
 * is asked of the runtime, which holds the sockets while the room sleeps.
 */
export class ChatRoom extends DurableObject<Env> {
  private readonly sql: SqlStorage;
  private readonly awakeSince = Date.now();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec(`
      CREATE TABLE IF NOT EXISTS messages (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL, sent INTEGER NOT NULL, ref TEXT UNIQUE);
      CREATE TABLE IF NOT EXISTS portraits (id TEXT PRIMARY KEY, image BLOB NOT NULL);
    `);
    // Pages ask this way whether they are still connected, and nobody wakes.
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
  }

  override async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const [, , , , what, id] = url.pathname.split("/");
    if (what === "websocket") return this.enter(request, url.searchParams.get("name") ?? "");
    if (what === "portrait" && id) return this.showPortrait(id);
    return new Response("A room has a websocket and portraits.\n", { status: 404 });
  }

  override async webSocketMessage(ws: WebSocket, message: string | ArrayBuffer): Promise<void> {
    const say = typeof message === "string" ? parse(message) : null;
    const ref = say?.ref ?? null;

    const wait = this.pay(ws);
    if (wait > 0) return this.tell(ws, { type: "slow", wait, ref });

    if (typeof message !== "string") return this.changePortrait(ws, message);
    if (!say) return this.tell(ws, { type: "refused", why: "That was not a message.", ref });
    const text = say.text.trim();
    if (text === "" || text.length > LONGEST_TEXT) {
      return this.tell(ws, { type: "refused", why: `A message has 1 to ${LONGEST_TEXT} characters.`, ref });
    }
    this.say(attached(ws).name, text, ref);
  }

  override async webSocketClose(ws: WebSocket): Promise<void> {
    ws.close(1000, "bye");
    this.leave(ws);
  }

  override async webSocketError(ws: WebSocket): Promise<void> {
    this.leave(ws);
  }

  private enter(request: Request, wanted: string): Response {
    if (request.headers.get("Upgrade")?.toLowerCase() !== "websocket") {
      return new Response("This is where a WebSocket comes in.\n", { status: 426, headers: { Upgrade: "websocket" } });
    }
    const name = wanted.trim().replace(/\s+/g, " ");
    if (name === "" || name.length > LONGEST_NAME) {
      return new Response(`A name has 1 to ${LONGEST_NAME} characters.\n`, { status: 400 });
    }

    // Usually a portrait goes with its socket. Those that are left when nobody
    // is here belong to sockets that ended together with the machine.
    if (this.ctx.getWebSockets().length === 0) this.sql.exec("DELETE FROM portraits");

    const { 0: client, 1: server } = new WebSocketPair();
    const alreadyHere = this.socketsOf(name).length > 0;
    attach(server, { name, portrait: null, paidUntil: 0 });
    this.ctx.acceptWebSocket(server, [tagOf(name)]);

    this.tell(server, {
      type: "welcome",
      you: name,
      people: this.people(),
      messages: this.lastMessages(),
      sleepsAfter: Number(this.env.SLEEPS_AFTER_SECONDS) * 1000,
    });
    if (!alreadyHere) this.tellOthers(server, { type: "join", person: { name, portrait: null } });
    return new Response(null, { status: 101, webSocket: client });
  }

  /** Pairs with enter. */
  private leave(ws: WebSocket): void {
    const { name, portrait } = attached(ws);
    if (portrait) this.sql.exec("DELETE FROM portraits WHERE id = ?", portrait);

    // One person may be here through several tabs: the last one to close quits.
    const others = this.socketsOf(name).filter((other) => other !== ws);
    if (others.length === 0) this.tellOthers(ws, { type: "quit", name });
    else if (portrait) this.tellOthers(ws, { type: "portrait", person: personOf(others) });
  }

  private say(name: string, text: string, ref: string | null): void {
    const [row] = this.sql
      .exec<{ id: number }>(
        "INSERT INTO messages (name, text, sent, ref) VALUES (?, ?, ?, ?) ON CONFLICT (ref) DO NOTHING RETURNING id",
        name, text, Date.now(), ref,
      )
      .toArray();
    // Said again after a lost connection: it is in the welcome of the new one.
    if (!row) return;
    this.sql.exec("DELETE FROM messages WHERE id <= ?", row.id - HISTORY);
    const [message] = this.lastMessages(1);
    if (message) this.tellOthers(null, { type: "message", message });
  }

  private lastMessages(count = HISTORY): Message[] {
    return this.sql
      .exec<Message & Record<string, SqlStorageValue>>(
        "SELECT id, name, text, sent, ref FROM messages ORDER BY id DESC LIMIT ?", count)
      .toArray()
      .reverse();
  }

  private changePortrait(ws: WebSocket, image: ArrayBuffer): void {
    if (image.byteLength > LARGEST_PORTRAIT || !imageType(image)) {
      return this.tell(ws, { type: "refused", why: "A portrait is a PNG, JPEG or WebP of at most 128 KiB.", ref: null });
    }
    const mine = attached(ws);
    if (mine.portrait) this.sql.exec("DELETE FROM portraits WHERE id = ?", mine.portrait);
    const portrait = crypto.randomUUID();
    this.sql.exec("INSERT INTO portraits (id, image) VALUES (?, ?)", portrait, image);
    attach(ws, { ...mine, portrait });
    this.tellOthers(null, { type: "portrait", person: personOf(this.socketsOf(mine.name)) });
  }

  private showPortrait(id: string): Response {
    const [row] = this.sql.exec<{ image: ArrayBuffer }>("SELECT image FROM portraits WHERE id = ?", id).toArray();
    const type = row && imageType(row.image);
    if (!type) return new Response("That picture is gone.\n", { status: 404 });
    return new Response(row.image, {
      headers: {
        "Content-Type": type,
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, max-age=31536000, immutable", // a new picture has a new id
      },
    });
  }

  /** Charges a client for one message; tells how long it must wait if it cannot pay. */
  private pay(ws: WebSocket): number {
    const mine = attached(ws);
    const now = Date.now();
    const paidUntil = Math.max(now, mine.paidUntil) + PACE;
    const wait = paidUntil - now - BURST * PACE;
    if (wait <= 0) attach(ws, { ...mine, paidUntil });
    return wait;
  }

  /** Who is here, in the order in which they came. */
  private people(): Person[] {
    const byTag = Map.groupBy(this.ctx.getWebSockets().filter(isOpen).reverse(), (ws) => tagOf(attached(ws).name));
    return Array.from(byTag.values(), personOf);
  }

  /** The open sockets of one person, oldest first. */
  private socketsOf(name: string): WebSocket[] {
    return this.ctx.getWebSockets(tagOf(name)).filter(isOpen);
  }

  private tell(ws: WebSocket, news: News): void {
    ws.send(this.encode(news));
  }

  private tellOthers(except: WebSocket | null, news: News): void {
    const text = this.encode(news);
    for (const ws of this.ctx.getWebSockets()) {
      if (ws !== except && isOpen(ws)) ws.send(text);
    }
  }

  private encode(news: News): string {
    return JSON.stringify({ ...news, awakeSince: this.awakeSince });
  }
}

function attach(ws: WebSocket, value: Attachment): void {
  ws.serializeAttachment(value);
}

function attached(ws: WebSocket): Attachment {
  return ws.deserializeAttachment() as Attachment;
}

function isOpen(ws: WebSocket): boolean {
  return ws.readyState === WebSocket.READY_STATE_OPEN;
}

/** People are told apart by their names, whatever the case. */
function tagOf(name: string): string {
  return "person:" + name.normalize("NFC").toLowerCase();
}

/** One person out of all their sockets, oldest first: the first name, the last portrait. */
function personOf(sockets: WebSocket[]): Person {
  const all = sockets.map(attached);
  return { name: all[0]!.name, portrait: all.findLast((one) => one.portrait)?.portrait ?? null };
}

/** What a page said, or null if that cannot be read. */
function parse(message: string): Say | null {
  let said: Partial<Say> | null;
  try {
    said = JSON.parse(message);
  } catch {
    return null;
  }
  if (said?.type !== "say" || typeof said.text !== "string") return null;
  const ref = typeof said.ref === "string" && said.ref.length <= LONGEST_REF ? said.ref : null;
  return { type: "say", text: said.text, ...(ref && { ref }) };
}

/** The type of an image by its first bytes, whatever its sender calls it. */
function imageType(image: ArrayBuffer): string | undefined {
  const head = String.fromCharCode(...new Uint8Array(image, 0, Math.min(12, image.byteLength)));
  if (head.startsWith("\x89PNG\r\n\x1a\n")) return "image/png";
  if (head.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (head.startsWith("RIFF") && head.endsWith("WEBP")) return "image/webp";
  return undefined;
}
