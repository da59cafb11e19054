/*
 * SocketList is the hibernatable sockets of one object: those that its code can
 * list, and those that it cannot any more but may still have in its hands.
 */

import { ambient } from "./ambient.ts";
import type { End } from "./end.ts";
import type { Owner } from "./owner.ts";

export class SocketList {
  readonly #owner: Owner;
  /** Oldest first, with those that are closing. */
  readonly #listed = new Set<End>();
  /** Sockets whose close handler has run and which may still be written to. */
  readonly #half = new Set<End>();
  #byTag: Map<string, Set<End>> | null = null; // made for the first that asks

  constructor(owner: Owner) {
    this.#owner = owner;
  }

  get size(): number {
    return this.#listed.size;
  }

  /** A row of the table of sockets: they come oldest first. */
  restore(end: End): void {
    end.mode = "hibernatable";
    end.owner = this.#owner;
    this.#listed.add(end);
    ambient.sockets.restore(end);
  }

  accept(end: End, tags: string[]): void {
    ambient.sockets.hibernatable(end, this.#owner, tags);
    this.#listed.add(end);
    if (this.#byTag !== null) this.#index(end);
  }

  list(tag: string | undefined): End[] {
    if (tag === undefined) return [...this.#listed].reverse();
    if (this.#byTag === null) {
      this.#byTag = new Map();
      for (const end of this.#listed) this.#index(end);
    }
    return [...(this.#byTag.get(tag) ?? [])];
  }

  #index(end: End): void {
    for (const tag of end.tags) {
      const set = this.#byTag!.get(tag);
      if (set === undefined) this.#byTag!.set(tag, new Set([end]));
      else set.add(end);
    }
  }

  /** The handler of its end has run. */
  unlist(end: End): void {
    this.#listed.delete(end);
    if (this.#byTag !== null) for (const tag of end.tags) this.#byTag.get(tag)?.delete(end);
    end.closedForHost = true;
    if (end.readyState === 3 || end.dead) ambient.sockets.forget(end);
    else this.#half.add(end);
  }

  /** Both sides have closed it. One whose handler has not run is still heard. */
  closed(end: End): void {
    if (this.#half.delete(end)) ambient.sockets.forget(end);
  }

  /** What is only half closed ends with the instance. */
  releaseHalf(): void {
    for (const end of this.#half) ambient.sockets.release(end);
  }

  /** Empties it; all that were in it. */
  take(): End[] {
    const all = [...this.#listed, ...this.#half];
    this.#listed.clear();
    this.#half.clear();
    this.#byTag = null;
    return all;
  }
}
