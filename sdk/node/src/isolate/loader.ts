/*
 * The loader is the only way by which author code gets a module: files of its
 * bundle, Workers' own modules, and those of Node's that Workers have. It sees
 * every import, also those made in functions and by code made of strings.
 */

import fs from "node:fs";
import { registerHooks } from "node:module";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { home, type Exports, register, registered, take } from "./registry.ts";

const scheme = "dormouse:";
const self = "dormouse-registry:";

/** Modules of Node's that are passed on as they are: they compute and do not reach outside. */
export interface Modules {
  plain: ReadonlySet<string>;
  /** Which of them this Worker has: by its date and flags. */
  has(name: string, prefixed: boolean): boolean;
  /** Those that Node has and Workers do not, with what to say. */
  refused(name: string): Exports | undefined;
}

/** Puts the wall up. From here on imports resolve inside `folder` or by name. */
export function installLoader(folder: string, modules: Modules): void {
  const inside = pathToFileURL(fs.realpathSync(folder) + path.sep).href;
  registerHooks({
    resolve(specifier, context) {
      const url = resolve(specifier, context.parentURL, inside, modules);
      return { url, format: url.startsWith("node:") ? "builtin" : "module", shortCircuit: true };
    },
    load(url, context, next) {
      if (url === home || url.startsWith("node:")) return next(url, context);
      const source = url.startsWith(scheme) ? synthetic(url.slice(scheme.length)) : fs.readFileSync(fileOf(url, inside));
      return { format: "module", source, shortCircuit: true };
    },
  });
}

function resolve(specifier: string, parent: string | undefined, inside: string, modules: Modules): string {
  if (specifier === self && parent?.startsWith(scheme) === true) return home;
  if (specifier.startsWith("./") || specifier.startsWith("../") || specifier.startsWith("/") || specifier.startsWith("file:")) {
    if (parent === undefined) return specifier;
    const url = new URL(specifier, parent.startsWith("file:") ? parent : inside);
    url.search = "";
    url.hash = "";
    if (!url.href.startsWith(inside)) throw noSuchModule(specifier, "it is outside the Worker's bundle");
    return code.test(url.pathname) ? url.href : asset(url.href, inside);
  }
  if ((specifier.startsWith("cloudflare:") || specifier.startsWith("workerd:")) && registered(specifier)) return scheme + specifier;
  const prefixed = specifier.startsWith("node:");
  const bare = prefixed ? specifier.slice(5) : specifier;
  if (!modules.has(bare, prefixed)) throw noSuchModule(specifier, missing);
  if (modules.plain.has(bare)) return `node:${bare}`;
  if (registered(`node:${bare}`)) return `${scheme}node:${bare}`;
  const refused = modules.refused(bare);
  if (refused !== undefined) {
    register(`node:${bare}`, () => refused);
    return `${scheme}node:${bare}`;
  }
  throw noSuchModule(specifier, missing);
}

const missing = "a Worker imports files of its bundle, cloudflare:… and, with nodejs_compat, the node:… modules that Workers have";

function noSuchModule(specifier: string, why: string): Error {
  const error = new Error(`No such module "${specifier}": ${why}.`);
  Object.defineProperty(error, "code", { value: "ERR_MODULE_NOT_FOUND", enumerable: true });
  return error;
}

/** The text of a module whose exports stand in the registry. */
function synthetic(name: string): string {
  const exports = take(name);
  const lines = [`import { take } from "${self}";`, `const m = take(${JSON.stringify(name)});`];
  Object.keys(exports).forEach((key, i) => {
    if (key === "default") lines.push("export default m.default;");
    else lines.push(`const v${i} = m[${JSON.stringify(key)}]; export { v${i} as ${identifier.test(key) ? key : JSON.stringify(key)} };`);
  });
  return lines.join("\n");
}

const identifier = /^[A-Za-z_$][\w$]*$/;

const code = /\.m?js$/;
const text = /\.(txt|html|sql|md|css|svg)$/;

/** A file of the bundle that is no code: the default export of a module of that name. */
function asset(url: string, inside: string): string {
  const file = fileOf(url, inside);
  if (!registered(url)) register(url, () => ({ default: valueOf(file) }));
  return scheme + url;
}

function valueOf(file: string): unknown {
  if (text.test(file)) return fs.readFileSync(file, "utf8");
  if (file.endsWith(".json")) return JSON.parse(fs.readFileSync(file, "utf8")) as unknown;
  const bytes = fs.readFileSync(file);
  if (file.endsWith(".wasm")) return new WebAssembly.Module(bytes);
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
}

/** Where a URL inside the bundle stands on the disk. A link may lead out, and Node's permissions follow it. */
function fileOf(url: string, inside: string): string {
  let file: string;
  try {
    file = fs.realpathSync(fileURLToPath(url));
  } catch {
    throw noSuchModule(url, "there is no such file in the Worker's bundle");
  }
  if (!pathToFileURL(file).href.startsWith(inside)) throw noSuchModule(url, "it is outside the Worker's bundle");
  return file;
}
