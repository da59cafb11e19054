/* Streams that Workers have beside the standard's. */

import { asChunk, fixedLengths } from "../http/body.ts";

/** What both ends of an identity share: at most one write that waits for its reader. */
class Pipe {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<unknown>;
  #out!: ReadableByteStreamController;
  #in!: WritableStreamDefaultController;
  #written: { bytes: Uint8Array; done: () => void; failed: (e: unknown) => void } | null = null;
  #pulled: (() => void) | null = null;
  #over = false;

  constructor(check: (bytes: Uint8Array) => void, atEnd: () => void) {
    this.readable = new ReadableStream({
      type: "bytes",
      start: (c) => void (this.#out = c),
      pull: () => this.#pull(),
      cancel: (reason) => this.#cancel(reason),
    }, { highWaterMark: 0 }) as ReadableStream<Uint8Array>;
    this.writable = new WritableStream({
      start: (c) => void (this.#in = c),
      write: (chunk) => {
        const bytes = this.#checked(() => {
          const bytes = asChunk(chunk);
          check(bytes);
          return bytes;
        });
        return this.#write(bytes);
      },
      close: () => {
        this.#checked(atEnd);
        this.#end();
      },
      abort: (reason) => this.#break(reason),
    });
  }

  /** What is wrong with the one end is told at the other, too. */
  #checked<T>(f: () => T): T {
    try {
      return f();
    } catch (e) {
      this.#break(e);
      throw e;
    }
  }

  #break(reason: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#out.error(reason);
    this.#resume();
  }

  /** Resolves when the reader has taken it. */
  #write(bytes: Uint8Array): Promise<void> | undefined {
    if (bytes.byteLength === 0) return undefined;
    return new Promise((done, failed) => {
      this.#written = { bytes, done, failed };
      if (this.#pulled !== null) this.#pass();
    });
  }

  #pull(): Promise<void> {
    return new Promise((resolve) => {
      this.#pulled = resolve;
      if (this.#written !== null) this.#pass();
    });
  }

  /** From the write that waits to the read that waits. The writer may use its memory again. */
  #pass(): void {
    const { bytes, done } = this.#written!;
    this.#written = null;
    this.#out.enqueue(new Uint8Array(bytes));
    this.#resume();
    done();
  }

  #resume(): void {
    const pulled = this.#pulled;
    this.#pulled = null;
    pulled?.();
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#out.close();
    this.#out.byobRequest?.respond(0);
    this.#resume();
  }

  #cancel(reason: unknown): void {
    this.#over = true;
    this.#written?.failed(reason);
    this.#written = null;
    this.#in.error(reason);
  }
}

const nothing = (): void => {};

/** Passes bytes through as they are; a write waits for its reader. */
export class IdentityTransformStream extends TransformStream<unknown, Uint8Array> {
  readonly #pipe: Pipe;

  constructor(check: (bytes: Uint8Array) => void = nothing, atEnd: () => void = nothing) {
    super();
    this.#pipe = typeof check === "function" ? new Pipe(check, atEnd) : new Pipe(nothing, nothing);
  }

  override get readable(): ReadableStream<Uint8Array> {
    return this.#pipe.readable;
  }

  override get writable(): WritableStream<unknown> {
    return this.#pipe.writable;
  }
}

/** As IdentityTransformStream, for bodies whose length is known before: it becomes their Content-Length. */
export class FixedLengthStream extends IdentityTransformStream {
  constructor(expectedLength: number | bigint) {
    const expected = Number(expectedLength);
    if (expected < 0) throw new TypeError("The value cannot be converted because it is negative and this API expects a positive bigint.");
    if (!Number.isFinite(expected)) throw new TypeError("The value cannot be converted because it is not an integer.");
    let left = Math.trunc(expected);
    const length = left;
    super(
      (bytes) => {
        if (bytes.byteLength > left) throw new TypeError("Attempt to write too many bytes through a FixedLengthStream.");
        left -= bytes.byteLength;
      },
      () => {
        if (left > 0) throw new TypeError("FixedLengthStream did not see all expected bytes before close().");
      },
    );
    fixedLengths.set(this.readable, length);
  }
}

/** readAtLeast, which the standard says with an option. */
export function extendReaders(): void {
  Object.defineProperty(ReadableStreamBYOBReader.prototype, "readAtLeast", {
    value: function (this: ReadableStreamBYOBReader, min: number, view: Uint8Array): unknown {
      return (this.read as (view: Uint8Array, options: { min: number }) => unknown).call(this, view, { min });
    },
    writable: true,
    configurable: true,
  });
}
