/*
 * Node's handles can open any descriptor by its number, listen, and connect to
 * Unix sockets. A Worker may do none of it, whichever object of Node's leads it
 * to a handle, so the handles themselves are disarmed, once the guest has its
 * own connection to the host.
 */

import net from "node:net";

type Handle = Record<string, unknown>;

export function disarmHandles(): void {
  const pipe = pipePrototype();
  const tcp = tcpPrototype();
  for (const name of ["open", "listen", "bind", "connect", "fchmod"]) refuse(pipe, name);
  for (const name of ["open", "listen", "bind", "bind6"]) refuse(tcp, name);
}

function refuse(prototype: Handle, name: string): void {
  if (typeof prototype[name] !== "function") return;
  Object.defineProperty(prototype, name, {
    value: () => {
      throw new Error(`A Worker cannot ${name === "connect" ? "connect to Unix sockets" : `${name} sockets or descriptors`}.`);
    },
    writable: false,
    configurable: false,
  });
}

/** Sockets make their handle when they begin to connect; that is all these two do. */
function tcpPrototype(): Handle {
  return prototypeOf({ host: "127.0.0.1", port: 9 });
}

function pipePrototype(): Handle {
  return prototypeOf({ path: "/nowhere" });
}

function prototypeOf(to: net.NetConnectOpts): Handle {
  const socket = new net.Socket();
  socket.on("error", () => {});
  socket.connect(to);
  const handle = (socket as unknown as { _handle: object })._handle;
  socket.destroy();
  return Object.getPrototypeOf(handle) as Handle;
}
