/*
 * Owner is what code can belong to: an object, or the Worker outside any object.
 */

import type { End } from "./end.ts";
import { durableObjectReset, retryable, type WireError } from "./errors.ts";
import { Section } from "./gate.ts";
import type { Outlet } from "./outlet.ts";
import { Scope } from "./scope.ts";
import { type Task, type TaskKind, Tasks } from "./tasks.ts";
import type { Turns } from "./turn.ts";

const flags = retryable | durableObjectReset;
export const evicted: WireError = { flags, name: "Error", message: "Durable Object was evicted from memory.", stack: "", extra: null };
/** Its code was updated: what it still did goes no further. */
export const updated: WireError = { flags, name: "Error", message: "Durable Object reset because its code was updated.", stack: "", extra: null };

export abstract class Owner {
  /** 0: the Worker. */
  readonly number: number;
  readonly turns: Turns;
  readonly tasks: Tasks;

  readonly root: Section;
  readonly scope: Scope;

  /** Where this owner's outputs go: the process's outlet, or one that waits for a commit. */
  out: Outlet;

  /** Sockets that its code reads: they keep it in memory and do not outlive it. */
  readonly standard = new Set<End>();

  /** Ports that its code made: an open port keeps what listens to it. And answers from outside. */
  #ports: WeakRef<{ close(): void }>[] = [];

  /** In the list of what the end of the batch looks at. Written by Turns. */
  touched = false;

  /** What its turns typically take; ms, 0: nobody has looked. Written by Turns. */
  typical = 0;
  /** The last frame for it that waits while quick objects went first. Written by Guest. */
  passedOver = 0;

  /** Gone from memory: nothing of it runs and nothing of it leaves any more. */
  gone = false;
  /** Why, when it did not leave in peace. */
  reason: WireError | null = null;
  /** What those get who still waited for something of it. */
  farewell: WireError = evicted;

  constructor(number: number, turns: Turns, out: Outlet) {
    this.number = number;
    this.tasks = new Tasks(number !== 0);
    this.turns = turns;
    this.out = out;
    this.root = new Section(null, 0);
    this.scope = new Scope(this, this.root);
  }

  /** Progress has to be told, or an output has been written. */
  touch(): void {
    if (!this.touched) this.turns.touch(this);
  }

  /** Closes the port, or what is closed as one is, when the owner leaves memory, if somebody has it then; at once if it has left. */
  closeWithOwner(port: { close(): void }): void {
    if (this.gone) {
      port.close();
      return;
    }
    this.#ports.push(new WeakRef(port));
    if (this.#ports.length > 64) this.#ports = this.#ports.filter((p) => p.deref() !== undefined);
  }

  protected closePorts(): void {
    for (const port of this.#ports) port.deref()?.close();
    this.#ports = [];
  }

  begin(kind: TaskKind, detail: string, counts = true): Task {
    this.touch();
    return this.tasks.begin(kind, detail, counts);
  }

  finish(task: Task): void {
    if (this.tasks.finish(task)) this.touch();
  }

  /**
   * Resolves when everything that this owner has written is on disk; null when
   * nothing has to be waited for.
   */
  abstract whenDurable(): Promise<void> | null;

  /** Says what does not pass the host, behind what was written before it. Whether it was said now. */
  abstract output(say: () => void): boolean;

  /** Whether nothing that it says now has to wait for the disk, as far as this side knows: no question to the host. */
  abstract get settled(): boolean;

  /** Called at the end of a batch that touched it. */
  abstract tellProgress(out: Outlet): void;

  /** Called at the end of each turn in which it wrote. */
  abstract commitTurn(): void;

  /** An error of the author's that nobody caught. */
  abstract uncaught(error: unknown): void;
}
