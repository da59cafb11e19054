/*
 * Sockets is the table of the ends that the host may speak to, and the only
 * place where an end's fate is decided.
 */

import { ambient } from "./ambient.ts";
import { End, type Sink } from "./end.ts";
import type { Owner } from "./owner.ts";

export class Sockets {
  readonly #incarnation: number;
  #made = 0;

  // Ends that frames may name: hibernatable ones, and standard ones and bridges
  // whose peer is elsewhere.
  readonly #told = new Map<number, End>();

  // Ends that the host knows of and whose fate is open. When nobody can reach
  // one any more it will never be accepted, and its peer learns so.
  readonly #open = new FinalizationRegistry<number>((id) => {
    // Past its owner's own outlet, which may have left memory since.
    ambient.turns.out.release(id);
    ambient.turns.bounce();
  });

  constructor(incarnation: number) {
    this.#incarnation = incarnation;
  }

  get(id: number): End | undefined {
    return this.#told.get(id);
  }

  /** Two new ends. The host hears of them when the fate of one is decided. */
  pair(): [End, End] {
    const id = this.#incarnation * 0x100000000 + this.#made;
    this.#made += 2;
    const a = new End(id);
    const b = new End(id + 1);
    a.peer = b;
    b.peer = a;
    return [a, b];
  }

  /** An end that came in an answer: its peer is elsewhere. */
  passedIn(id: number): End {
    const end = new End(id);
    this.#open.register(end, id, end);
    return end;
  }

  /** A row of the table that an activation gets. */
  restore(end: End): void {
    this.#told.set(end.id, end);
  }

  /** `end` becomes hibernatable. The caller has checked that its peer's fate is open. */
  hibernatable(end: End, owner: Owner, tags: readonly string[]): void {
    const peer = end.peer!;
    end.mode = "hibernatable";
    end.owner = owner;
    end.tags = tags;
    // The peer leads to us, but not we to it: so it can be seen to be abandoned.
    end.peer = null;
    this.#open.register(peer, peer.id, peer);
    this.#told.set(end.id, end);
    owner.touch();
    owner.out.accept(owner.number, end.id, tags);
    if (end.attachment !== null) owner.out.attachment(end.id, end.attachment);
  }

  /** `end` is read by code of `owner`, in this process. */
  standard(end: End, owner: Owner, sink: Sink, mode: "standard" | "bridge"): void {
    end.mode = mode;
    end.owner = owner;
    end.sink = sink;
    owner.standard.add(end);
    this.#open.unregister(end);
    const peer = end.peer;
    if (peer !== null && peer.mode === "fresh") return; // Until the peer's fate is decided.
    if (peer === null || peer.mode === "hibernatable") {
      end.peer = null;
      this.#tell(end);
    } else if (peer.owner === owner) {
      end.local = peer.local = true;
      peer.release();
    } else {
      end.peer = peer.peer = null;
      this.#tell(peer);
      this.#tell(end);
      peer.release();
    }
  }

  /** `end` leaves in a response of `owner`. */
  passOn(end: End, owner: Owner): void {
    const peer = end.peer;
    end.mode = "passed";
    end.owner = owner;
    end.peer = null;
    this.#open.unregister(end);
    if (peer === null || peer.mode === "hibernatable") return;
    peer.peer = null;
    if (peer.mode === "fresh") {
      this.#open.register(peer, peer.id, peer);
    } else {
      this.#tell(peer);
      peer.release();
    }
  }

  #tell(end: End): void {
    const owner = end.owner!;
    this.#told.set(end.id, end);
    owner.touch();
    owner.out.open(end.id, owner.number);
  }

  /** Both sides are done with it, or its object has left: no frame finds it any more. */
  forget(end: End): void {
    end.owner?.standard.delete(end);
    this.#told.delete(end.id);
  }

  /** As `forget`, and the peer sees the end, behind what was sent. */
  release(end: End): void {
    if (!this.#told.delete(end.id)) return;
    const owner = end.owner!;
    owner.touch();
    owner.out.release(end.id);
  }
}
