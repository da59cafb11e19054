/*
 * Pieces of long bodies are memory that V8 does not see: a hundred megabytes pass
 * before it collects what it thinks is a few kilobytes of small objects. So it is
 * told to look at the young ones each time that much has passed.
 */

import { collectYoung } from "./native.ts";

const often = 4 << 20;
let since = 0;

/** A piece of a body has come or gone. */
export function passed(bytes: number): void {
  since += bytes;
  if (since < often) return;
  since = 0;
  collectYoung();
}
