/*
 * Runaways: instances whose code does not come to an end by itself. The watchdog
 * asks, in the middle of whatever runs here, whether a turn still runs; if so the
 * stack is thrown away, and in a macrotask of its own the instance ends. Its
 * hibernatable sockets stay, because the application has not decided anything.
 */

import { randomUUID } from "node:crypto";
import { ambient, currentOwner } from "./ambient.ts";
import type { Config } from "./config.ts";
import { logError } from "./console.ts";
import type { Cutter } from "./cut.ts";
import { durableObjectReset, flagged, remote, toWire } from "./errors.ts";
import { writeHeapSnapshot } from "./heap.ts";
import { GuestObject, ranAway } from "./object.ts";
import type { Owner } from "./owner.ts";
import { forSnapshot, inTurn } from "./pulse.ts";
import type { Turns } from "./turn.ts";
import type { Verdict, Watch } from "./watchdog.ts";

export class Runaways {
  readonly #turns: Turns;
  readonly #cutter: Cutter;
  #limit = 0;
  /** Cut, and not ended yet. */
  #caught: { owner: Owner; at: Error } | null = null;

  constructor(turns: Turns, cutter: Cutter) {
    this.#turns = turns;
    this.#cutter = cutter;
  }

  /** What the watchdog needs; null if nothing is to be watched. */
  watch({ limits, heapSnapshots }: Config, occupied: () => boolean): Watch | null {
    const stall = limits.guestStall > 0 ? limits.guestStall : Infinity;
    if (stall === Infinity && heapSnapshots === "") return null;
    if (stall !== Infinity) this.#turns.pulse.keep(stall / 4, occupied);
    this.#limit = stall;
    const global = randomUUID();
    const ask = (turn: number, beat: number): Verdict => {
      if (turn === forSnapshot) {
        writeHeapSnapshot(heapSnapshots);
        return "over";
      }
      if (turn !== -1) return this.#stop(turn, beat);
      Reflect.deleteProperty(globalThis, global); // The watchdog has it now, and nobody else will.
      return "over";
    };
    Object.defineProperty(globalThis, global, { value: ask, configurable: true });
    return { words: this.#turns.pulse.words, global, stall, memory: limits.guestMemory, snapshots: heapSnapshots !== "" };
  }

  /** Called with the stack of the turn below. Nothing is ended here: that stack may be in the middle of anything. */
  #stop(turn: number, beat: number): Verdict {
    const { pulse } = this.#turns;
    const at = new Error(`code ran for ${this.#limit / 1000} s without a pause and was ended (limits.guest_stall)`);
    // Without a stack below, the event loop has called: it does go round.
    if (beat === inTurn ? !pulse.isIn(turn) : !pulse.isStill(turn, beat) || !belowInspector(at.stack ?? "").includes("\n")) return "over";
    const owner = currentOwner();
    pulse.blame(owner.number);
    if (owner.gone || this.#caught !== null) return "hopeless";
    this.#caught = { owner, at };
    this.#cutter.cutBelow();
    return "cut";
  }

  /** The stack is gone: ends the instance. Between turns, before anything else is written or committed. */
  end(): void {
    if (this.#caught === null) return;
    const { owner, at } = this.#caught;
    this.#caught = null;
    this.#turns.out.repair();
    at.stack = belowInspector(at.stack ?? "");
    logError(owner, "Ran away", at);
    if (owner instanceof GuestObject) {
      const error = flagged(`Durable Object was reset: its ${at.message}.`, durableObjectReset);
      error.stack = at.stack.replace(/^.*/, `Error: ${error.message}`);
      owner.die(toWire(error, remote), ranAway);
    } else {
      // Which of the Worker's requests it was cannot be known any more.
      ambient.exchanges.failUnanswered(owner, new Error(`The Worker's ${at.message}.`));
    }
  }
}

/** The trace without the calls by which the inspector has come here. */
function belowInspector(stack: string): string {
  const [title, ...calls] = stack.split("\n");
  const last = calls.findLastIndex((call) => call.includes("(<anonymous>:1:"));
  return [title, ...calls.slice(last + 1)].join("\n");
}
