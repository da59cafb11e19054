/*
 * What makes a class of ours look to authors as one that the runtime has built
 * in: its methods declare no arguments, what cannot be set says so as a property
 * of the engine does, and it cannot be called without `new`.
 */

import vm from "node:vm";

type Class = abstract new (...args: never[]) => object;
type Construct = (args: unknown[], newTarget: unknown) => object;

/** The class as authors get it. Its instances are those of `c`, whoever makes them. */
export function platformClass<C extends Class>(c: C): C {
  const { name } = c;
  const visible: C = dress(c, (args, newTarget) => {
    if (newTarget === undefined) {
      throw new TypeError(`Failed to construct '${name}': Please use the 'new' operator, this object constructor cannot be called as a function.`);
    }
    return Reflect.construct(c, args, (newTarget === visible ? c : newTarget) as Class) as object;
  });
  return visible;
}

/** Dresses a class that authors meet and never construct. */
export function innerClass(c: Class): void {
  dress(c, () => {
    throw new TypeError("Illegal constructor");
  });
}

function dress<C extends Class>(c: C, construct: Construct): C {
  const prototype = c.prototype as object;
  const visible = named(c.name, construct) as unknown as C;
  Object.setPrototypeOf(visible, Object.getPrototypeOf(c) as object);
  Object.defineProperty(visible, "prototype", { value: prototype, writable: false });
  for (const [key, d] of Object.entries(Object.getOwnPropertyDescriptors(c))) {
    if (key !== "name" && key !== "length" && key !== "prototype") Object.defineProperty(visible, key, d);
  }
  for (const [key, d] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    if (key !== "constructor") Object.defineProperty(prototype, key, native(key, d, c.name));
  }
  Object.defineProperty(prototype, "constructor", { value: visible, writable: true, configurable: true });
  // As data: the engine looks at it when it writes messages, and calls nothing then.
  const tag: unknown = Reflect.get(prototype, Symbol.toStringTag);
  if (typeof tag === "string") Object.defineProperty(prototype, Symbol.toStringTag, { value: tag, configurable: true });
  return visible;
}

/** The engine names objects in its messages by how their constructor was written down, not by its `name`. */
function named(name: string, construct: Construct): object {
  const text = `(construct) => function ${name}(...args) { return construct(args, new.target); }`;
  return (vm.runInThisContext(text) as (c: Construct) => object)(construct);
}

function native(key: string, d: PropertyDescriptor, name: string): PropertyDescriptor {
  if (typeof d.value === "function") {
    Object.defineProperty(d.value, "length", { value: 0, configurable: true });
  } else if (d.get !== undefined && d.set === undefined) {
    d.set = () => {
      throw new TypeError(`Cannot assign to read only property '${key}' of object '#<${name}>'`);
    };
  }
  return d;
}
