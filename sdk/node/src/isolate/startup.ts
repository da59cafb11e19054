/*
 * While a Worker's module is loaded, its code may make functions of strings with
 * `Function`, as compilers of schemas and templates do
 * (allow_eval_during_startup); after that nothing may. The engine's own switch
 * is for the whole life of the process, so it stays off, and `Function` is
 * another one meanwhile. What it makes imports nothing: the loader does not know it.
 */

import vm from "node:vm";

/** Returns what ends it. */
export function allowFunction(): () => void {
  const real = globalThis.Function;
  let open = true;
  const make = function Function(...parts: unknown[]): unknown {
    if (!open) return real(...(parts as string[])); // it says that this is not allowed
    const body = parts.length === 0 ? "" : String(parts.pop());
    vm.compileFunction(body); // alone first, so that it cannot close the function and go on: ECMA-262, section 20.2.1.1.1
    return new vm.Script(`(function anonymous(${parts.map(String).join(",")}\n) {\n${body}\n})`).runInThisContext();
  };
  Object.defineProperty(make, "prototype", { value: real.prototype, writable: false });
  install(make);
  return () => {
    open = false;
    install(real);
  };
}

function install(f: unknown): void {
  Object.defineProperty(globalThis, "Function", { value: f, writable: true, configurable: true, enumerable: false });
  Object.defineProperty(Function.prototype, "constructor", { value: f, writable: true, configurable: true, enumerable: false });
}
