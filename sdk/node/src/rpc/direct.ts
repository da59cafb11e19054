/*
 * Sessions between two owners of one guest that do not pass the host: what one
 * end says, the other hears in this process, in order and behind the gate of the
 * object that says it. ../direct.ts says when that is done.
 */

import { ambient } from "../ambient.ts";
import type { Direct } from "../exchange.ts";
import type { Owner } from "../owner.ts";
import { Buffer } from "../storage/bytes.ts";
import { ProtocolError, Reader, Writer } from "../wire.ts";
import type { Session } from "./session.ts";

/** One direction of a session. */
export class DirectLine implements Direct {
  readonly far: Session;
  readonly #owner: Owner;
  /** Nothing was said yet. */
  quiet = true;
  #waiting = 0; // messages that wait until what its owner has written is durable
  #underway = 0; // said, and not heard yet

  constructor(near: Session, far: Session) {
    this.#owner = near.owner;
    this.far = far;
  }

  /** Something that the other end is to hear, as a turn of nobody's. */
  say(what: (far: Session) => void): void {
    this.quiet = false;
    this.#pass(what, false);
  }

  /** The one thing that is said at all: it may be heard at once, and runs no code of an author's. */
  end(what: (far: Session) => void): void {
    this.#pass(what, true);
  }

  /** Past the gate: what is no output. */
  tell(what: (far: Session) => void): void {
    this.quiet = false;
    this.#underway++;
    ambient.turns.soon(ambient.worker.scope, () => {
      this.#underway--;
      what(this.far);
    });
  }

  #pass(what: (far: Session) => void, now: boolean): void {
    if (this.#owner.gone) return;
    let waited = false;
    const said = this.#owner.output(() => {
      if (waited && --this.#waiting === 0) ambient.exchanges.direct.delete(this);
      if (now && !waited) what(this.far);
      else this.tell(what);
    });
    if (said) return;
    waited = true;
    this.#waiting++;
    ambient.exchanges.direct.add(this);
  }

  /** The owner has left memory: the other end hears why. */
  lose(): void {
    const why = this.#owner.farewell;
    // At once, as all sessions of an object hear of its end before any author's code does; but not before what it said.
    if (this.#underway === 0) this.far.broken(why);
    else this.tell((far) => far.broken(why));
  }

  // As it is known to Exchanges, while something waits for the disk.

  /** What was said is lost with the instance, unless the end of the session has been told of already. */
  ownerGone(owner: Owner): void {
    if (owner !== this.#owner) return;
    ambient.exchanges.direct.delete(this);
    this.lose();
  }

  failUnanswered(): void {}
}

/** From here on bytes are passed on and not copied. */
const large = 4096;

/** A message on its way within this process. */
export class Parcel extends Writer {
  #tail: Uint8Array | null = null;

  constructor() {
    super(256);
  }

  get size(): number {
    return this.at + (this.#tail?.byteLength ?? 0);
  }

  override kept(p: Uint8Array): void {
    if (p.byteLength < large) super.kept(p);
    else this.#tail = p;
  }

  /** A whole message, that had to wait. Owned. */
  take(message: Uint8Array): void {
    this.buffer = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
    this.at = message.byteLength;
  }

  open(): Reader {
    const r = this.#tail === null ? new Reader() : new TailReader(this.#tail);
    r.reset(this.buffer, 0, this.at);
    r.own = true;
    return r;
  }
}

class TailReader extends Reader {
  readonly #tail: Uint8Array;

  constructor(tail: Uint8Array) {
    super();
    this.#tail = tail;
  }

  override get left(): number {
    return super.left + this.#tail.byteLength;
  }

  override restBytes(): Buffer {
    return this.restKept();
  }

  /** What is left is the tail, or this is no message of ours. */
  override restKept(): Buffer {
    if (this.at !== this.end) throw new ProtocolError("bytes in front of a payload");
    return Buffer.from(this.#tail.buffer, this.#tail.byteOffset, this.#tail.byteLength);
  }
}
