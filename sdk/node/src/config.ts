/*
 * The configuration that `hello` carries; docs/guest-protocol.md.
 */

import { ProtocolError } from "./wire.ts";

/** The class of a namespace that is another Worker's. */
export const elsewhere = -1;

export interface Config {
  worker: string;
  entry: string;
  data: string;
  template: string;
  classes: { name: string; namespace: string; sql: boolean }[];
  bindings: {
    namespaces: { name: string; class: number; namespace: string }[];
    /** `self`: this Worker's own, with the entrypoint and its props. */
    services: { name: string; self?: boolean; entrypoint?: string; props?: unknown }[];
    assets: { name: string }[];
    kv: { name: string }[];
    r2: { name: string }[];
    vars: Record<string, unknown>;
    missing: { name: string; kind: string }[];
  };
  compat: { date: string; flags: Record<string, boolean> };
  limits: {
    attachmentBytes: number;
    socketsPerObject: number;
    /** How many events code of this guest may have waiting for an object past the host. */
    mailboxEvents: number;
    /** How long they may wait for other code to pause; ms, 0 for ever. */
    queueTime: number;
    taskKeepalive: number;
    /** How long an alarm handler may run, in ms. */
    alarm: number;
    ignoreTimersBeyond: number;
    openDatabases: number;
    /** Largest page cache of one open database; bytes. */
    databaseCache: number;
    /** How long one turn may take before its instance is ended; ms, 0 for ever. */
    guestStall: number;
    /** How much memory the process may occupy; bytes, 0: any. */
    guestMemory: number;
  };
  /** Networks (CIDR) that authors' code may connect to, and those that it may not. */
  egress: { allow: string[]; deny: string[] };
  inspect: boolean;
  /** The folder of heap snapshots; empty: none are written. */
  heapSnapshots: string;
  /** Whether tests of an author's own may run code in objects. */
  testing: boolean;
  marks: boolean;
  /** Somebody traces: requests bring contexts. */
  trace: boolean;
  /** Code may reach objects of this same guest without the host: direct.ts. */
  direct: boolean;
}

/** Fields that the host leaves out have the values of the documentation. */
export function parseConfig(json: string): Config {
  let given: Partial<Config>;
  try {
    given = JSON.parse(json) as Partial<Config>;
  } catch (e) {
    throw new ProtocolError(`configuration: ${(e as Error).message}`);
  }
  if (typeof given.entry !== "string" || given.entry === "") throw new ProtocolError("configuration: no entry");
  return {
    worker: given.worker ?? "worker",
    entry: given.entry,
    data: given.data ?? "",
    template: given.template ?? "",
    classes: given.classes ?? [],
    bindings: {
      namespaces: given.bindings?.namespaces ?? [],
      services: given.bindings?.services ?? [],
      assets: given.bindings?.assets ?? [],
      kv: given.bindings?.kv ?? [],
      r2: given.bindings?.r2 ?? [],
      vars: given.bindings?.vars ?? {},
      missing: given.bindings?.missing ?? [],
    },
    compat: { date: given.compat?.date ?? "2026-11-17", flags: given.compat?.flags ?? {} },
    limits: {
      attachmentBytes: given.limits?.attachmentBytes ?? 16384,
      socketsPerObject: given.limits?.socketsPerObject ?? 32768,
      mailboxEvents: given.limits?.mailboxEvents ?? 4096,
      queueTime: given.limits?.queueTime ?? 0,
      taskKeepalive: given.limits?.taskKeepalive ?? 900_000,
      alarm: given.limits?.alarm ?? 900_000,
      ignoreTimersBeyond: given.limits?.ignoreTimersBeyond ?? 0,
      openDatabases: given.limits?.openDatabases ?? 256,
      databaseCache: given.limits?.databaseCache ?? 1 << 20,
      guestStall: given.limits?.guestStall ?? 0,
      guestMemory: given.limits?.guestMemory ?? 0,
    },
    egress: { allow: given.egress?.allow ?? [], deny: given.egress?.deny ?? [] },
    inspect: given.inspect ?? false,
    heapSnapshots: given.heapSnapshots ?? "",
    testing: given.testing ?? false,
    marks: given.marks ?? false,
    trace: given.trace ?? false,
    direct: given.direct ?? false,
  };
}
