/*
 * The keeper: a thread that holds a second connection to every open database. As long as it does,
 * closing ours costs little and leaves the WAL in place. It alone checkpoints, when it is told to,
 * with syncs and away from the loop.
 *
 * Both ends are here: `Keeper` for the loop, `serveKeeper` for the thread. How the thread is started
 * is the business of who starts it; keeper-thread.ts is one that does nothing else.
 */

import { KeptDatabase } from "./sqlite.ts";

/** An end of a channel between two threads: a message port, or a worker. */
export interface KeeperPort {
  postMessage(message: unknown): void;
  on(event: "message" | "close" | "exit", listener: (message: any) => void): unknown;
}

/** `passive` never waits for anybody; `truncate` also empties the WAL, and waits for readers. */
export type CheckpointMode = "passive" | "truncate";

export interface Checkpoint {
  /** Frames of the WAL, and how many of them are in the database file now. */
  readonly frames: number;
  readonly checkpointed: number;
  /** Readers or a writer kept it from going further. */
  readonly busy: boolean;
}

type Operation = "hold" | "release" | "checkpoint";

interface Request {
  readonly id: number;
  readonly operation: Operation;
  readonly path: string;
  readonly mode?: CheckpointMode;
}

type Answer = { readonly id: number; readonly result?: Checkpoint } & { readonly error?: string };

/** File descriptors of a held database: the file and its WAL; the shared memory is shared with ours. */
const descriptorsPerDatabase = 2;

interface Hold {
  count: number;
  readonly held: Promise<void>;
}

/** The loop's end. */
export class Keeper {
  readonly #port: KeeperPort;
  readonly #onError: (path: string, error: Error) => void;
  readonly #waiting = new Map<number, { resolve: (result?: Checkpoint) => void; reject: (error: Error) => void }>();
  readonly #holds = new Map<string, Hold>();
  #last = 0;
  #closed = false;

  /** `onError` is told of failures that the operator should see. */
  constructor(port: KeeperPort, onError: (path: string, error: Error) => void) {
    this.#port = port;
    this.#onError = onError;
    port.on("message", (answer: Answer) => this.#answered(answer));
    for (const end of ["close", "exit"] as const) port.on(end, () => this.#ended());
  }

  /** How many file descriptors the held databases take. */
  get descriptors(): number {
    return this.#holds.size * descriptorsPerDatabase;
  }

  /** Holds the database, which exists, until as many calls of `release`. Resolves when it is held. */
  hold(path: string): Promise<void> {
    let hold = this.#holds.get(path);
    if (hold === undefined) {
      hold = { count: 0, held: this.#ask("hold", path).then(() => {}) };
      hold.held.catch(() => {}); // Each caller of `hold` and `held` hears of it.
      this.#holds.set(path, hold);
    }
    hold.count++;
    return hold.held;
  }

  /** Resolves when a database that `hold` was called for is held. */
  held(path: string): Promise<void> {
    return this.#holds.get(path)?.held ?? Promise.resolve();
  }

  /** Pairs with `hold`. The last one checkpoints and closes. */
  async release(path: string): Promise<void> {
    const hold = this.#holds.get(path);
    if (hold === undefined) throw new Error(`database ${path} is not held`);
    if (--hold.count > 0) return;
    this.#holds.delete(path);
    await this.#ask("release", path);
  }

  /** Moves the WAL of a held database into its file, and syncs both. */
  async checkpoint(path: string, mode: CheckpointMode = "passive"): Promise<Checkpoint> {
    const result = await this.#ask("checkpoint", path, mode);
    return result!;
  }

  /** Tells the operator of a failure, with the path: whoever waits for it is told without. */
  report(path: string, error: Error): void {
    this.#onError(path, error);
  }

  #ask(operation: Operation, path: string, mode?: CheckpointMode): Promise<Checkpoint | undefined> {
    if (this.#closed) return Promise.reject(new Error(ended));
    const id = ++this.#last;
    const request: Request = mode === undefined ? { id, operation, path } : { id, operation, path, mode };
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#port.postMessage(request);
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
  const kept = new Map<string, KeptDatabase>();
  port.on("message", (request: Request) => {
    const { id } = request;
    try {
      const result = serve(kept, request);
      port.postMessage(result === undefined ? { id } : { id, result });
    } catch (error) {
      port.postMessage({ id, error: `the keeper cannot ${request.operation} the database: ${(error as Error).message}` });
    }
  });
}

function serve(kept: Map<string, KeptDatabase>, { operation, path, mode }: Request): Checkpoint | undefined {
  if (operation === "hold") {
    kept.set(path, new KeptDatabase(path));
    return undefined;
  }
  const database = kept.get(path);
  if (database === undefined) throw new Error("it is not held");
  if (operation === "checkpoint") return database.checkpoint(mode ?? "passive");
  kept.delete(path);
  database.close();
  return undefined;
}
