/*
 * What is known of an author's class before there is an instance of it. It may
 * be a Proxy: tracing libraries wrap classes, and their traps say nothing of
 * the prototype, which the engine does not let pass.
 */

/** Whether a class extends another: by the chain of the classes themselves, as workerd looks, not by what stands in `prototype`. */
export function extending(c: unknown, base: object): boolean {
  for (let at = c; typeof at === "function"; at = Object.getPrototypeOf(at) as unknown) if (at === base) return true;
  return false;
}

/** Whether instances have a method; undefined if the class does not let one see. */
export function defines(c: unknown, method: string): boolean | undefined {
  let prototype: unknown;
  try {
    prototype = (c as { prototype?: unknown }).prototype;
  } catch {
    return undefined;
  }
  return typeof prototype === "object" && prototype !== null && typeof (prototype as Record<string, unknown>)[method] === "function";
}
