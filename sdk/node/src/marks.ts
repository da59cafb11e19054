/*
 * Marks of events that begin out of their turn: of what had to wait, whose frame
 * this process has already said it has handled, and of what goes first, whose
 * frame is not marked. They stand in a file that outlives it;
 * docs/guest-protocol.md, "Marks".
 */

import { Buffer } from "node:buffer";
import fs from "node:fs";

/** The descriptor, and where in it what stands. */
const marksFd = 4;
const crowdedAt = 16;
const slotsAt = 64;
const slotBytes = 8;
const slots = ((64 << 10) - slotsAt) / slotBytes;
/** More than these are left to those who had to wait. */
const slotsToGoFirst = slots / 2;

export class Marks {
  /** The slot of each object that has one. */
  readonly #of = new Map<number, number>();
  #unused = 0; // from here on no slot was ever used
  readonly #free: number[] = []; // oldest first: what an object leaves is read for a while
  readonly #slot = Buffer.alloc(slotBytes);

  /** Events of the object up to this one may have begun. */
  begun(object: number, event: number): void {
    let slot = this.#of.get(object);
    if (slot === undefined) {
      slot = this.#unused < slots ? this.#unused++ : this.#free.shift();
      if (slot === undefined) {
        // From now on what waits anywhere counts as begun: it is not said twice.
        fs.writeSync(marksFd, Buffer.from([1]), 0, 1, crowdedAt);
        return;
      }
      this.#of.set(object, slot);
    }
    this.#slot.writeUInt32LE(object, 0);
    this.#slot.writeUInt32LE(event, 4);
    fs.writeSync(marksFd, this.#slot, 0, slotBytes, slotsAt + slot * slotBytes);
  }

  /** Whether there is a place for the mark of an event that goes first. */
  mayGoFirst(object: number): boolean {
    return this.#of.has(object) || this.#unused < slotsToGoFirst;
  }

  /** The object has left memory. */
  left(object: number): void {
    const slot = this.#of.get(object);
    if (slot === undefined) return;
    this.#of.delete(object);
    this.#free.push(slot);
  }
}
