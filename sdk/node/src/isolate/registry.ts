/*
 * What the modules that authors import by name (`cloudflare:workers`,
 * `node:fs`) hold. The loader writes such a module as text that fetches its
 * values here; nothing in the registry is worth hiding from an author.
 */

export type Exports = Record<string, unknown>;

const makers = new Map<string, () => Exports>();
const made = new Map<string, Exports>();

/** The module's exports are made when it is first imported. */
export function register(name: string, make: () => Exports): void {
  makers.set(name, make);
}

export function registered(name: string): boolean {
  return makers.has(name);
}

/** Called by the text of such a module. */
export function take(name: string): Exports {
  let exports = made.get(name);
  if (exports === undefined) made.set(name, (exports = makers.get(name)!()));
  return exports;
}

/** This very module, or the bundle that it is part of. */
export const home = import.meta.url;
