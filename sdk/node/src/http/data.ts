/* data: URLs, as the Fetch standard's "data: URL processor" reads them. */

import { Buffer } from "node:buffer";

/** Null: it is none. */
export function dataUrl(url: string): { type: string; bytes: Uint8Array<ArrayBuffer> } | null {
  const m = /^data:([^,]*),(.*)$/s.exec(url.replace(/#.*$/s, ""));
  if (m === null) return null;
  const [, head, rest] = m as unknown as [string, string, string];
  const base64 = /;\s*base64\s*$/i.test(head);
  const type = head.replace(/;\s*base64\s*$/i, "").trim();
  const bytes = unescape(rest);
  const named = type === "" ? "text/plain;charset=US-ASCII" : type.startsWith(";") ? `text/plain${type}` : type;
  return { type: named, bytes: base64 ? new Uint8Array(Buffer.from(bytes.toString("latin1"), "base64")) : new Uint8Array(bytes) };
}

function unescape(text: string): Buffer {
  const raw = Buffer.from(text, "utf8").latin1Slice();
  return Buffer.from(raw.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))), "latin1");
}
