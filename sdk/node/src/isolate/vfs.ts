/*
 * The file system that author code sees: /bundle, the Worker's own files, to be
 * read; /tmp, in the memory of this process; and some of /dev. No path leads
 * out: names are resolved here, and only names that a listing of the bundle
 * gave reach the disk.
 */

import { Buffer } from "node:buffer";
import { randomFillSync } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { Readable, Writable } from "node:stream";
import type { Exports } from "./registry.ts";

/** /tmp holds no more than this, in bytes. */
const maxTemporary = 64 << 20;

type Folder = Map<string, Folder | File>;

interface File {
  data: Buffer;
  changed: number;
}

interface Stats {
  size: number;
  mtimeMs: number;
  mtime: Date;
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
  isCharacterDevice(): boolean;
}

function failure(code: string, what: string, call: string, at: string): Error {
  const error = new Error(`${code}: ${what}, ${call} '${at}'`);
  return Object.assign(error, { code, syscall: call, path: at });
}

const devices: Record<string, (n: number) => Buffer> = {
  null: () => Buffer.alloc(0),
  zero: (n) => Buffer.alloc(n),
  full: (n) => Buffer.alloc(n),
  random: (n) => randomFillSync(Buffer.alloc(n)),
  urandom: (n) => randomFillSync(Buffer.alloc(n)),
};

/** What one read of an endless device gives. */
const deviceRead = 4096;

export class VirtualFiles {
  readonly #bundle: string;
  readonly #tmp: Folder = new Map();
  #used = 0;

  constructor(bundle: string) {
    this.#bundle = fs.realpathSync(bundle);
  }

  // ---- Paths

  /** The parts of an absolute path, `..` resolved. */
  #parts(at: unknown, call: string): string[] {
    const text = at instanceof URL ? decodeURIComponent(at.pathname) : Buffer.isBuffer(at) ? at.toString() : at;
    if (typeof text !== "string") throw new TypeError(`The "path" argument must be of type string or an instance of Buffer or URL.`);
    if (text.includes("\0")) throw failure("ENOENT", "no such file or directory", call, text);
    return path.posix.resolve("/bundle", text).split("/").filter((p) => p !== "");
  }

  /** Where a path of the bundle stands on the disk. No link leads out of it. */
  #onDisk(parts: string[], call: string): string {
    const file = path.join(this.#bundle, ...parts.slice(1));
    let real: string;
    try {
      real = fs.realpathSync(file);
    } catch {
      throw failure("ENOENT", "no such file or directory", call, `/${parts.join("/")}`);
    }
    if (real !== this.#bundle && !real.startsWith(this.#bundle + path.sep)) {
      throw failure("EACCES", "permission denied", call, `/${parts.join("/")}`);
    }
    return real;
  }

  #find(parts: string[], call: string): Folder | File {
    let here: Folder | File = this.#tmp;
    for (const part of parts.slice(1)) {
      const next: Folder | File | undefined = here instanceof Map ? here.get(part) : undefined;
      if (next === undefined) throw failure("ENOENT", "no such file or directory", call, `/${parts.join("/")}`);
      here = next;
    }
    return here;
  }

  #folderOf(parts: string[], call: string): Folder {
    if (parts[0] !== "tmp" || parts.length < 2) throw failure("EPERM", "operation not permitted", call, `/${parts.join("/")}`);
    const folder = this.#find(parts.slice(0, -1), call);
    if (!(folder instanceof Map)) throw failure("ENOTDIR", "not a directory", call, `/${parts.join("/")}`);
    return folder;
  }

  // ---- Operations

  read(at: unknown): Buffer {
    const parts = this.#parts(at, "open");
    const name = `/${parts.join("/")}`;
    const [top] = parts;
    if (top === "dev" && parts.length === 2 && Object.hasOwn(devices, parts[1]!)) return devices[parts[1]!]!(deviceRead);
    if (top === "bundle") {
      if (this.stat(at).isDirectory()) throw failure("EISDIR", "illegal operation on a directory", "read", name);
      return fs.readFileSync(this.#onDisk(parts, "open"));
    }
    if (top !== "tmp") throw failure("ENOENT", "no such file or directory", "open", name);
    const found = this.#find(parts, "open");
    if (found instanceof Map) throw failure("EISDIR", "illegal operation on a directory", "read", name);
    return Buffer.from(found.data);
  }

  write(at: unknown, data: unknown, encoding: BufferEncoding | undefined, append: boolean): void {
    const parts = this.#parts(at, "open");
    if (parts[0] === "dev" && parts.length === 2 && Object.hasOwn(devices, parts[1]!)) return;
    const folder = this.#folderOf(parts, "open");
    const name = parts.at(-1)!;
    const old = folder.get(name);
    if (old instanceof Map) throw failure("EISDIR", "illegal operation on a directory", "open", `/${parts.join("/")}`);
    const bytes = typeof data === "string" ? Buffer.from(data, encoding) : Buffer.from(data as Uint8Array);
    const whole = append && old !== undefined ? Buffer.concat([old.data, bytes]) : bytes;
    const used = this.#used - (old?.data.length ?? 0) + whole.length;
    if (used > maxTemporary) throw failure("ENOSPC", "no space left on device", "write", `/${parts.join("/")}`);
    this.#used = used;
    folder.set(name, { data: whole, changed: Date.now() });
  }

  stat(at: unknown): Stats {
    const parts = this.#parts(at, "stat");
    const name = `/${parts.join("/")}`;
    if (parts.length === 0) return stats("folder", 0, 0);
    const [top] = parts;
    if (top === "bundle") {
      const found = fs.statSync(this.#onDisk(parts, "stat"));
      return stats(found.isDirectory() ? "folder" : "file", found.size, found.mtimeMs);
    }
    if (top === "dev" && parts.length === 1) return stats("folder", 0, 0);
    if (top === "dev" && parts.length === 2 && Object.hasOwn(devices, parts[1]!)) return stats("device", 0, 0);
    if (top !== "tmp") throw failure("ENOENT", "no such file or directory", "stat", name);
    const found = this.#find(parts, "stat");
    return found instanceof Map ? stats("folder", 0, 0) : stats("file", found.data.length, found.changed);
  }

  list(at: unknown): string[] {
    const parts = this.#parts(at, "scandir");
    const name = `/${parts.join("/")}`;
    if (parts.length === 0) return ["bundle", "dev", "tmp"];
    if (!this.stat(at).isDirectory()) throw failure("ENOTDIR", "not a directory", "scandir", name);
    if (parts[0] === "bundle") return fs.readdirSync(this.#onDisk(parts, "scandir"));
    if (parts[0] === "dev") return Object.keys(devices);
    return [...(this.#find(parts, "scandir") as Folder).keys()];
  }

  makeFolder(at: unknown, recursive: boolean): void {
    const parts = this.#parts(at, "mkdir");
    if (recursive) {
      for (let n = 2; n < parts.length; n++) this.#makeOne(parts.slice(0, n), true);
    }
    this.#makeOne(parts, recursive);
  }

  #makeOne(parts: string[], mayExist: boolean): void {
    const folder = this.#folderOf(parts, "mkdir");
    const old = folder.get(parts.at(-1)!);
    if (old !== undefined) {
      if (mayExist && old instanceof Map) return;
      throw failure("EEXIST", "file already exists", "mkdir", `/${parts.join("/")}`);
    }
    folder.set(parts.at(-1)!, new Map());
  }

  remove(at: unknown, kind: "file" | "folder" | "any", options?: { recursive?: boolean; force?: boolean }): void {
    const parts = this.#parts(at, "rm");
    const name = `/${parts.join("/")}`;
    const folder = this.#folderOf(parts, "rm");
    const found = folder.get(parts.at(-1)!);
    if (found === undefined) {
      if (options?.force === true) return;
      throw failure("ENOENT", "no such file or directory", "rm", name);
    }
    if (found instanceof Map) {
      if (kind === "file") throw failure("EISDIR", "illegal operation on a directory", "unlink", name);
      if (found.size > 0 && options?.recursive !== true) throw failure("ENOTEMPTY", "directory not empty", "rmdir", name);
    } else if (kind === "folder") {
      throw failure("ENOTDIR", "not a directory", "rmdir", name);
    }
    this.#used -= sizeOf(found);
    folder.delete(parts.at(-1)!);
  }

  rename(from: unknown, to: unknown): void {
    const a = this.#parts(from, "rename");
    const b = this.#parts(to, "rename");
    const source = this.#folderOf(a, "rename");
    const found = source.get(a.at(-1)!);
    if (found === undefined) throw failure("ENOENT", "no such file or directory", "rename", `/${a.join("/")}`);
    const target = this.#folderOf(b, "rename");
    const replaced = target.get(b.at(-1)!);
    if (replaced !== undefined && replaced !== found) this.#used -= sizeOf(replaced);
    source.delete(a.at(-1)!);
    target.set(b.at(-1)!, found);
  }

  // ---- As node:fs says it

  module(): Exports {
    const sync = this.#sync();
    const exports: Exports = { promises: this.promises(), constants: fs.constants };
    for (const [name, f] of Object.entries(sync)) {
      exports[`${name}Sync`] = f;
      exports[name] = (...args: unknown[]) => {
        const callback = args.pop();
        if (typeof callback !== "function") throw new TypeError(`The "cb" argument must be of type function.`);
        let result: unknown;
        let error: unknown = null;
        try {
          result = f(...args);
        } catch (e) {
          error = e;
        }
        queueMicrotask(() => (error === null ? callback(null, result) : callback(error)) as unknown);
      };
    }
    exports["existsSync"] = (at: unknown) => this.#exists(at);
    exports["exists"] = (at: unknown, callback: (there: boolean) => void) => queueMicrotask(() => callback(this.#exists(at)));
    exports["createReadStream"] = (at: unknown, options?: { encoding?: BufferEncoding }) => {
      const stream = Readable.from([this.read(at)]);
      if (options?.encoding !== undefined) stream.setEncoding(options.encoding);
      return stream;
    };
    exports["createWriteStream"] = (at: unknown) => {
      this.write(at, "", undefined, false);
      return new Writable({
        write: (chunk: Buffer, _encoding, done) => {
          try {
            this.write(at, chunk, undefined, true);
            done();
          } catch (e) {
            done(e as Error);
          }
        },
      });
    };
    const { F_OK, R_OK, W_OK, X_OK } = fs.constants;
    Object.assign(exports, { F_OK, R_OK, W_OK, X_OK });
    for (const name of Object.keys(fs)) {
      const real = (fs as Exports)[name]; // lchmod is undefined but on macOS
      if (name in exports || (real !== undefined && typeof real !== "function")) continue;
      exports[name] = () => {
        throw failure("ENOSYS", "function not implemented", name, "");
      };
    }
    return exports;
  }

  promises(): Exports {
    const exports: Exports = { constants: fs.constants };
    for (const [name, f] of Object.entries(this.#sync())) exports[name] = async (...args: unknown[]) => f(...args);
    for (const name of Object.keys(fs.promises)) {
      exports[name] ??= async () => {
        throw failure("ENOSYS", "function not implemented", name, "");
      };
    }
    return exports;
  }

  #exists(at: unknown): boolean {
    try {
      this.stat(at);
      return true;
    } catch {
      return false;
    }
  }

  #sync(): Record<string, (...args: unknown[]) => unknown> {
    const encodingOf = (o: unknown): BufferEncoding | undefined =>
      (typeof o === "string" ? o : (o as { encoding?: string | null } | undefined)?.encoding) as BufferEncoding | undefined;
    return {
      readFile: (at, options) => {
        const encoding = encodingOf(options);
        const bytes = this.read(at);
        return encoding === undefined || encoding === null ? bytes : bytes.toString(encoding);
      },
      writeFile: (at, data, options) => this.write(at, data, encodingOf(options), false),
      appendFile: (at, data, options) => this.write(at, data, encodingOf(options), true),
      stat: (at) => this.stat(at),
      lstat: (at) => this.stat(at),
      access: (at) => void this.stat(at),
      readdir: (at, options) => {
        const names = this.list(at);
        if ((options as { withFileTypes?: boolean } | undefined)?.withFileTypes !== true) return names;
        const parent = `/${this.#parts(at, "scandir").join("/")}`;
        return names.map((name) => Object.assign(this.stat(`${parent}/${name}`), { name, parentPath: parent }));
      },
      mkdir: (at, options) => this.makeFolder(at, (options as { recursive?: boolean } | undefined)?.recursive === true),
      rmdir: (at) => this.remove(at, "folder"),
      unlink: (at) => this.remove(at, "file"),
      rm: (at, options) => this.remove(at, "any", options as { recursive?: boolean; force?: boolean } | undefined),
      rename: (from, to) => this.rename(from, to),
      copyFile: (from, to) => this.write(to, this.read(from), undefined, false),
      realpath: (at) => {
        this.stat(at);
        return `/${this.#parts(at, "realpath").join("/")}`;
      },
    };
  }
}

function sizeOf(x: Folder | File): number {
  if (!(x instanceof Map)) return x.data.length;
  let total = 0;
  for (const child of x.values()) total += sizeOf(child);
  return total;
}

function stats(kind: "file" | "folder" | "device", size: number, changed: number): Stats {
  return {
    size,
    mtimeMs: changed,
    mtime: new Date(changed),
    isFile: () => kind === "file",
    isDirectory: () => kind === "folder",
    isSymbolicLink: () => false,
    isCharacterDevice: () => kind === "device",
  };
}
