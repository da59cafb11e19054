/* What Node 26 has and its published types leave out. */

interface Buffer {
  utf8Slice(start?: number, end?: number): string;
  latin1Slice(start?: number, end?: number): string;
  hexSlice(start?: number, end?: number): string;
  utf8Write(text: string, offset?: number, length?: number): number;
  hexWrite(text: string, offset?: number, length?: number): number;
}

declare namespace NodeJS {
  interface Process {
    reallyExit(code: number): never;
    _tickCallback(): void;
  }
}

declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array);
  }
}
