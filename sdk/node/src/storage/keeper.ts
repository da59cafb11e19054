/*
 * The keeper: a thread that checkpoints, away from the loop and only when it is told to. It syncs
 * nothing; the host does. What a checkpoint may move is decided by the host, step by step:
 *
 *   hold   a read snapshot is taken: no checkpoint goes past it;
 *   move   the host knows that what it covers is on disk, so it is moved; the snapshot ends;
 *   end    it cannot be moved now; the snapshot ends.
 *
 * Both ends are here: `Keeper` for the loop, `serveKeeper` for the thread. How the thread is started
 * is the business of who starts it; keeper-thread.ts is one that does nothing else.
 */

import { type Checkpoint, Snapshot } from "./sqlite.ts";

/** An end of a channel between two threads: a message port, or a worker. */
export interface KeeperPort {
  postMessage(message: unknown): void;
  on(event: "message" | "close" | "exit", listener: (message: any) => void): unknown;
}

type Operation = "hold" | "move" | "end";

interface Request {
  readonly id: number;
  readonly operation: Operation;
  readonly path: string;
}

type Answer = { readonly id: number; readonly result?: Checkpoint; readonly error?: string };

/** The loop's end. One checkpoint of a database at a time. */
export class Keeper {
  readonly #port: KeeperPort;
  readonly #leave: (path: string) => void;
  readonly #waiting = new Map<number, { resolve: (result?: Checkpoint) => void; reject: (error: Error) => void }>();
  #last = 0;
  #closed = false;

  /** `leave` has the loop's connection give back the place in the WAL that it keeps: nothing behind one is moved. */
  constructor(port: KeeperPort, leave: (path: string) => void) {
    this.#port = port;
    this.#leave = leave;
    port.on("message", (answer: Answer) => this.#answered(answer));
    for (const end of ["close", "exit"] as const) port.on(end, () => this.#ended());
  }

  /** Takes a snapshot of a database that is open elsewhere in this process, and holds it. */
  async hold(path: string): Promise<void> {
    this.#leave(path);
    await this.#ask("hold", path);
  }

  /** Moves what the snapshot covers from the WAL into the file. Pairs with `hold`, also when it fails. */
  async move(path: string): Promise<Checkpoint> {
    const done = (await this.#ask("move", path))!;
    this.#leave(path); // One that was taken meanwhile would keep the WAL from beginning anew.
    return done;
  }

  /** Pairs with `hold`, in place of `move`. */
  async end(path: string): Promise<void> {
    await this.#ask("end", path);
  }

  #ask(operation: Operation, path: string): Promise<Checkpoint | undefined> {
    if (this.#closed) return Promise.reject(new Error(ended));
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#port.postMessage({ id, operation, path } satisfies Request);
    });
  }

  #answered({ id, result, error }: Answer): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(new Error(error));
  }

  #ended(): void {
    this.#closed = true;
    for (const { reject } of this.#waiting.values()) reject(new Error(ended));
    this.#waiting.clear();
  }
}

const ended = "the keeper thread has ended";

/** The thread's end: answers requests one after the other until the port closes. */
export function serveKeeper(port: KeeperPort): void {
  const held = new Map<string, Snapshot>();
  port.on("message", (request: Request) => {
    const { id } = request;
    try {
      const result = serve(held, request);
      port.postMessage(result === undefined ? { id } : { id, result });
    } catch (error) {
      port.postMessage({ id, error: `the keeper cannot ${request.operation} the database: ${(error as Error).message}` });
    }
  });
}

function serve(held: Map<string, Snapshot>, { operation, path }: Request): Checkpoint | undefined {
  if (operation === "hold") {
    if (held.has(path)) throw new Error("it is held already");
    held.set(path, new Snapshot(path));
    return undefined;
  }
  const snapshot = held.get(path);
  if (snapshot === undefined) throw new Error("it is not held");
  held.delete(path);
  try {
    return operation === "move" ? snapshot.move() : undefined;
  } finally {
    snapshot.end();
  }
}
