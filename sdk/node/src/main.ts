/*
 * The guest process. It finds the host on descriptor 3 and ends with it.
 */

import { writeSync } from "node:fs";
import { currentOwner } from "./ambient.ts";
import { Guest } from "./guest.ts";
import { loadAuthor } from "./isolate/isolate.ts";
import { nativeProcess } from "./native.ts";

// The text of modules made for authors fetches its values here.
export { take } from "./isolate/registry.ts";

const { reallyExit, versions, pid } = nativeProcess;

function exit(reason: string): never {
  if (reason === "") return reallyExit.call(nativeProcess, 0);
  writeSync(2, `dormouse guest: ${reason}\n`);
  return reallyExit.call(nativeProcess, 70);
}

let events = new EventTarget();

// What reaches these has been thrown by author code: ours is caught where it
// runs, and ends the process.
nativeProcess.on("uncaughtException", (error) => currentOwner().uncaught(error));
nativeProcess.on("unhandledRejection", (reason, promise) => {
  const event = Object.assign(new Event("unhandledrejection", { cancelable: true }), { reason, promise });
  events.dispatchEvent(event);
  if (!event.defaultPrevented) currentOwner().uncaught(reason);
});

new Guest({
  fd: 3,
  // Beside this file: as source, or as one of the two files that the host has bundled.
  sideThread: new URL(import.meta.url.endsWith(".ts") ? "./side-thread.ts" : "./side.js", import.meta.url),
  load: (config, env, exports) =>
    loadAuthor(config, env, exports, (e) => {
      events = e;
    }),
  versions: () => ({ node: versions.node, sqlite: versions["sqlite"] ?? "", pid }),
  exit,
});
