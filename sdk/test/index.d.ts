/** Where and how a server for tests is started. */
export interface Options {
  /** Folder of the wrangler file, or that file; the current one. Several: Workers served together, of which clients reach the first. */
  project?: string | URL | readonly (string | URL)[];
  /** The command `dormouse`; otherwise $DORMOUSE_BIN, the path, or `bin/` of a folder above. */
  binary?: string;
  /** How long an object with nothing to do stays in memory: "300ms", or a number of ms. */
  hibernateAfter?: string | number;
  /** A data folder that stays; otherwise one that goes with the server. */
  data?: string;
  /** More arguments for `dormouse serve`. */
  args?: string[];
  /** More of the server's environment. */
  env?: Record<string, string>;
}

/** Starts a server for tests. */
export function start<Env = Record<string, any>>(options?: Options): Promise<Dormouse<Env>>;

export interface Id {
  readonly name: string | undefined;
  toString(): string;
  equals(other: Id): boolean;
}

export interface Namespace {
  idFromName(name: string): Id;
  idFromString(id: string): Id;
  newUniqueId(): Id;
  get(id: Id): Stub;
  getByName(name: string): Stub;
}

/** An object. Its methods can be called, and its getters awaited; arguments and results are copied by structured clone. */
export interface Stub {
  readonly id: Id;
  readonly name: string | undefined;
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;
  /** An open WebSocket with the object. */
  connect(url?: string, options?: { headers?: HeadersInit; protocols?: string | string[] }): Promise<WebSocket>;
  readonly [member: string]: any;
}

export interface Worker<Env = Record<string, any>> {
  /** The Worker's bindings: namespaces, values of variables, and everything else to be called. */
  readonly env: Env;
  /** Runs a function in the Worker, with its `env`. It gets `args`, and sees nothing else of the test. */
  inWorker<R, A extends unknown[]>(f: (env: any, ...args: A) => R, ...args: A): Promise<Awaited<R>>;
}

/** A running server: the Worker, or of several the one that clients reach. */
export interface Dormouse<Env = Record<string, any>> extends Worker<Env>, AsyncDisposable {
  /** One of several Workers, by the name in its configuration. */
  worker<Env = Record<string, any>>(name: string): Worker<Env>;
  /** Where the Worker is reached. */
  readonly url: string;
  /** What the server and the code have printed, the last 256 KiB of it. */
  readonly log: string;

  /** A request to the Worker. */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;
  /** Runs a function in an object, with its instance and its `ctx`. It gets `args`, and sees nothing else of the test. */
  inside<R, A extends unknown[]>(stub: Stub, f: (instance: any, ctx: any, ...args: A) => R, ...args: A): Promise<Awaited<R>>;

  /** Runs the alarm of an object now, in place of later. False if it has none. */
  runAlarm(stub: Stub): Promise<boolean>;
  /** Sets the clock ahead by so many ms. What alarms are then due begin to run. */
  advance(ms: number): Promise<void>;
  /** What the objects take for the time. */
  now(): number;

  /** Has an object leave memory once nothing is in progress in it. Its sockets stay. */
  hibernate(stub: Stub): Promise<void>;
  /** The same, and its sockets end without a Close frame. */
  evict(stub: Stub): Promise<void>;
  /** Kills the process that objects run in, and waits until another runs. Sockets stay. */
  crash(): Promise<void>;
  /** Ends every object and removes what they have stored, and their alarms. */
  deleteAll(): Promise<void>;

  state(stub: Stub): Promise<"active" | "idle" | "hibernated" | "inactive" | "broken">;
  /** Waits until an object has left memory by itself. */
  asleep(stub: Stub): Promise<void>;
  /** How often an object's constructor has run. */
  constructions(stub: Stub): Promise<number>;

  stop(): Promise<void>;
}
