/*
 * The events of sockets. Node has such classes, but they come with its fetch:
 * the first message of a first socket would wait for all of it to be loaded.
 */

interface EventInit {
  bubbles?: boolean;
  cancelable?: boolean;
  composed?: boolean;
}

interface MessageEventInit extends EventInit {
  data?: unknown;
  origin?: string;
  lastEventId?: string;
  source?: unknown;
  ports?: readonly unknown[];
}

export class MessageEvent extends Event {
  readonly #init: MessageEventInit;

  constructor(type: string, init: MessageEventInit = {}) {
    super(type, init);
    this.#init = init;
  }

  get data(): unknown {
    return this.#init.data === undefined ? null : this.#init.data;
  }

  get origin(): string | null {
    return this.#init.origin ?? null;
  }

  get lastEventId(): string {
    return this.#init.lastEventId ?? "";
  }

  get source(): unknown {
    return this.#init.source ?? null;
  }

  get ports(): readonly unknown[] {
    return this.#init.ports ?? [];
  }

  get [Symbol.toStringTag](): string {
    return "MessageEvent";
  }
}

interface CloseEventInit extends EventInit {
  code?: number;
  reason?: string;
  wasClean?: boolean;
}

export class CloseEvent extends Event {
  readonly #init: CloseEventInit;

  constructor(type: string, init: CloseEventInit = {}) {
    super(type, init);
    this.#init = init;
  }

  get code(): number {
    return this.#init.code ?? 0;
  }

  get reason(): string {
    return this.#init.reason ?? "";
  }

  get wasClean(): boolean {
    return this.#init.wasClean ?? false;
  }

  get [Symbol.toStringTag](): string {
    return "CloseEvent";
  }
}

interface ErrorEventInit extends EventInit {
  message?: string;
  filename?: string;
  lineno?: number;
  colno?: number;
  error?: unknown;
}

export class ErrorEvent extends Event {
  readonly #init: ErrorEventInit;

  constructor(type: string, init: ErrorEventInit = {}) {
    super(type, init);
    this.#init = init;
  }

  get message(): string {
    return this.#init.message ?? "";
  }

  get filename(): string {
    return this.#init.filename ?? "";
  }

  get lineno(): number {
    return this.#init.lineno ?? 0;
  }

  get colno(): number {
    return this.#init.colno ?? 0;
  }

  get error(): unknown {
    return this.#init.error;
  }

  get [Symbol.toStringTag](): string {
    return "ErrorEvent";
  }
}
