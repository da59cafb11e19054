/*
 * Names of a Worker's global scope that Node has not: the classes of the scope
 * itself and of its events, none of which authors construct, and the objects
 * whose classes have a name.
 */

/** A class that cannot be constructed; what it is the class of says `is`. */
function abstract(name: string, is: (x: unknown) => boolean = () => false, parent: abstract new (...args: never[]) => object = Object): object {
  const made = {
    [name]: class extends parent {
      constructor() {
        throw new TypeError("Illegal constructor");
        super(...([] as never[]));
      }
    },
  }[name]!;
  Object.defineProperty(made, Symbol.hasInstance, { value: is });
  return made;
}

const isScope = (x: unknown): boolean => x === globalThis;

export function scopeClasses(): Record<string, unknown> {
  const names: Record<string, unknown> = {};
  for (const name of ["WorkerGlobalScope", "ServiceWorkerGlobalScope"]) names[name] = abstract(name, isScope);
  for (const name of ["ExtendableEvent", "FetchEvent", "ScheduledEvent", "TailEvent", "PromiseRejectionEvent"]) names[name] = abstract(name, undefined, Event);
  names["origin"] = "null";
  return names;
}

const own = Symbol("made here");

/** As workerd's navigator. */
export class Navigator {
  static readonly instance: Navigator = new Navigator(own);

  constructor(by?: unknown) {
    if (by !== own) throw new TypeError("Illegal constructor");
  }

  get [Symbol.toStringTag](): string {
    return "Navigator";
  }

  get userAgent(): string {
    return "Cloudflare-Workers";
  }

  get hardwareConcurrency(): number {
    return 1;
  }

  get language(): string {
    return "en";
  }

  get languages(): readonly string[] {
    return ["en"];
  }

  get platform(): string {
    return "Linux";
  }

  sendBeacon(): boolean {
    return false;
  }
}

export class Scheduler {
  readonly wait: (delay: number, options?: { signal?: AbortSignal }) => Promise<void>;

  constructor(wait: (delay: number, options?: { signal?: AbortSignal }) => Promise<void>) {
    this.wait = wait;
  }

  get [Symbol.toStringTag](): string {
    return "Scheduler";
  }
}

/** What this runtime does not have, and says so where it is used; `typeof` finds it, as it does in a Worker. */
export function refusedClass(name: string): object {
  const refuse = () => {
    throw new Error(`${name} is not supported by Dormouse yet.`);
  };
  const made = { [name]: class { constructor() { refuse(); } } }[name]!;
  return made;
}
