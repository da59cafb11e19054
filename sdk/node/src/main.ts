/*
 * The guest process. It finds the host on descriptor 3 and ends with it.
 */

import { writeSync } from "node:fs";
import { pathToFileURL } from "node:url";
import type { Config } from "./config.ts";
import { installGlobals } from "./globals.ts";
import { Guest } from "./guest.ts";
import { nativeProcess } from "./native.ts";

const exit: (code: number) => never = nativeProcess.reallyExit;

const guest = new Guest({
  fd: 3,
  async load(config: Config): Promise<Record<string, unknown>> {
    installGlobals();
    return (await import(pathToFileURL(config.entry).href)) as Record<string, unknown>;
  },
  versions: () => ({
    node: nativeProcess.versions.node,
    sqlite: nativeProcess.versions["sqlite"] ?? "",
    pid: nativeProcess.pid,
  }),
  exit(reason: string): never {
    if (reason === "") exit(0);
    writeSync(2, `dormouse guest: ${reason}\n`);
    return exit(70);
  },
});
void guest;
