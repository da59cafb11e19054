/*
 * Egress: which addresses the code of authors may connect to. Every connection
 * of Node's (fetch, http, net, tls) is begun by one method; there a name is
 * resolved, and only addresses that are allowed are connected to. The address
 * that was looked at is the one that is used, so a name that answers differently
 * the second time gains nothing.
 *
 * The rules keep honest code from a private network that it was led to. They
 * are no boundary against code that attacks: docs/security.md.
 */

import type { LookupAddress } from "node:dns";
import type { LookupFunction } from "node:net";
import { nativeProcess } from "./native.ts";

export interface Egress {
  /** Networks (CIDR) that may be reached whatever `deny` says. */
  allow: string[];
  deny: string[];
}

type Net = typeof import("node:net");

/** Whether an address may be connected to. */
export function judge(net: Net, rules: Egress): (address: string) => boolean {
  const [allow, deny] = [rules.allow, rules.deny].map((networks) => {
    const list = new net.BlockList();
    for (const network of networks) {
      const [address, bits] = network.split("/") as [string, string];
      list.addSubnet(address, Number(bits), net.isIPv6(address) ? "ipv6" : "ipv4");
    }
    return list;
  }) as [import("node:net").BlockList, import("node:net").BlockList];
  return (text) => {
    const address = plain(text);
    const family = net.isIPv6(address) ? "ipv6" : "ipv4";
    return allow.check(address, family) || !deny.check(address, family);
  };
}

/** An IPv4 address that is written as one of IPv6 is what it is; a zone names an interface. */
function plain(address: string): string {
  const [bare] = address.split("%") as [string];
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1] ?? mapped(bare) ?? bare;
}

/** ::ffff:7f00:1 */
function mapped(address: string): string | undefined {
  const m = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(address);
  if (m === null) return undefined;
  const [high, low] = [parseInt(m[1]!, 16), parseInt(m[2]!, 16)];
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}

interface Options {
  host?: string;
  path?: string;
  lookup?: LookupFunction;
}

/** Puts the rules into force, for good. Before author code is loaded; without rules it does nothing. */
export function guardEgress(rules: Egress): void {
  if (rules.deny.length === 0) return;
  const net = nativeProcess.getBuiltinModule("net") as Net;
  const dns = nativeProcess.getBuiltinModule("dns") as typeof import("node:dns");
  const may = judge(net, rules);
  const resolve = dns.lookup as unknown as LookupFunction;
  const connect = net.Socket.prototype.connect as (this: import("node:net").Socket, ...args: unknown[]) => import("node:net").Socket;

  function checked(lookup: LookupFunction): LookupFunction {
    return (host, options, done) => {
      lookup(host, options, (error, found, family) => {
        if (error !== null) {
          done(error, found, family);
          return;
        }
        const list: LookupAddress[] = Array.isArray(found) ? found : [{ address: found, family: family ?? 0 }];
        const good = list.filter(({ address }) => may(address));
        if (good.length === 0) done(refusal(`${host} (${list.map((a) => a.address).join(", ")})`), [], undefined);
        else if (Array.isArray(found)) done(null, good);
        else done(null, good[0]!.address, good[0]!.family);
      });
    };
  }

  function guarded(this: import("node:net").Socket, ...args: unknown[]): import("node:net").Socket {
    // Node calls itself with an array that it has marked; others with options, or with port and host.
    const [first] = args;
    const inside = Array.isArray(first);
    let options: Options;
    if (inside) options = first[0] as Options;
    else if (typeof first === "object" && first !== null) options = first;
    else {
      options = (typeof first === "string" && !/^\d+$/.test(first) ? { path: first } : { port: first, host: typeof args[1] === "string" ? args[1] : undefined }) as Options;
      args = [options, ...args.filter((a) => typeof a === "function")];
    }
    const host = options.host ?? "localhost";
    if (options.path !== undefined && options.path !== null) return refuse(this, `the socket ${options.path}`);
    if (net.isIP(host) !== 0 && !may(host)) return refuse(this, host);
    options = { ...options, lookup: checked(options.lookup ?? resolve) };
    if (inside) first[0] = options;
    else args[0] = options;
    return connect.apply(this, args);
  }

  Object.defineProperty(net.Socket.prototype, "connect", { value: guarded, writable: false, configurable: false });
}

function refusal(what: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`connecting to ${what} is not allowed here (egress.deny)`), { code: "EACCES", syscall: "connect" });
}

function refuse<S extends import("node:net").Socket>(socket: S, what: string): S {
  queueMicrotask(() => socket.destroy(refusal(what)));
  return socket;
}
