/* Streams that Workers have beside the standard's. */

import { asChunk, fixedLengths } from "../http/body.ts";

/** Passes bytes through as they are. */
export class IdentityTransformStream extends TransformStream<unknown, Uint8Array> {
  constructor() {
    super({ transform: (chunk, controller) => controller.enqueue(copy(asChunk(chunk))) });
  }
}

/** As IdentityTransformStream, for bodies whose length is known before: it becomes their Content-Length. */
export class FixedLengthStream extends TransformStream<unknown, Uint8Array> {
  constructor(expectedLength: number | bigint) {
    const expected = Number(expectedLength);
    if (!Number.isSafeInteger(expected) || expected < 0) throw new TypeError("FixedLengthStream requires an integer length that is not negative.");
    let left = expected;
    super({
      transform(chunk, controller) {
        const bytes = asChunk(chunk);
        if (bytes.byteLength > left) throw new TypeError("Attempt to write too many bytes through a FixedLengthStream.");
        left -= bytes.byteLength;
        controller.enqueue(copy(bytes));
      },
      flush() {
        if (left > 0) throw new TypeError("FixedLengthStream did not see all expected bytes before close().");
      },
    });
    fixedLengths.set(this.readable, expected);
  }
}

/** The writer may use its memory again. */
function copy(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}
