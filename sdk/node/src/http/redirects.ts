/*
 * What becomes of a request that is answered with a redirect, be it by a server
 * outside or by an object. As workerd has it, which is the Fetch standard's
 * "HTTP-redirect fetch" but for its rules of origins.
 */

import type { Content } from "./body.ts";

export const maxRedirects = 20;

const statuses = new Set([301, 302, 303, 307, 308]);

/** What is said of a place when another place is asked in its stead, and is none of its business. */
const private_ = new Set(["authorization", "cookie", "proxy-authorization"]);

export interface Asked {
  method: string;
  url: URL;
  headers: [string, string][];
  content: Content;
}

/** What is to be asked next; null when the answer is the last. Throws when it cannot be asked. */
export function afterRedirect(asked: Asked, status: number, location: string | null | undefined, hops: number): Asked | null {
  if (!statuses.has(status) || location === null || location === undefined) return null;
  if (hops >= maxRedirects) throw new TypeError(`Too many redirects, following limit reached: ${maxRedirects}.`);
  let url: URL;
  try {
    url = new URL(location, asked.url);
  } catch {
    throw new TypeError("Invalid Location header; unable to follow redirect.");
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") throw new Error(`A redirect led to ${url.protocol}, which cannot be fetched.`);
  url.hash = "";
  let { method, headers, content } = asked;
  if (content.kind === "stream" || content.kind === "incoming") {
    throw new TypeError(
      "A request with a one-time-use body (it was initialized from a stream, not a buffer) encountered a redirect requiring the body to be retransmitted. " +
      "To avoid this error in the future, construct this request from a buffer-like body initializer.",
    );
  }
  if ((status === 303 && method !== "GET" && method !== "HEAD") || (status <= 302 && method === "POST")) {
    method = "GET";
    content = { kind: "none" };
    headers = headers.filter(([name]) => name.toLowerCase() !== "content-length");
  }
  if (url.origin !== asked.url.origin) headers = headers.filter(([name]) => !private_.has(name.toLowerCase()));
  return { method, url, headers, content };
}
