/* KV namespaces and R2 buckets: what they hold, and one value at a time. */

import { ask, poll } from "./api.js";
import { $, bytes, count, el, say } from "./dom.js";

const size = 100; // of a page
const shown = 16 << 10; // bytes of a value

export class Stores {
  #pages = [""]; // where each page up to this one begins
  #rows = [];
  #next = ""; // where the next one does
  #question = 0;

  constructor() {
    let typed;
    $("store").addEventListener("change", () => this.again());
    $("store-prefix").addEventListener("input", () => {
      clearTimeout(typed);
      typed = setTimeout(() => this.again(), 150);
    });
    $("store-next").addEventListener("click", () => this.#next !== "" && this.load([...this.#pages, this.#next]));
    $("store-previous").addEventListener("click", () => this.#pages.length > 1 && this.load(this.#pages.slice(0, -1)));
    poll(15_000, () => this.names());
  }

  /** Which there are: a Worker without any has no such section. */
  async names() {
    try {
      const [{ namespaces }, { buckets }] = await Promise.all([ask("/api/kv"), ask("/api/r2")]);
      const all = [...namespaces.map((n) => ["kv", n]), ...buckets.map((n) => ["r2", n])];
      const options = JSON.stringify(all);
      $("stores").hidden = all.length === 0;
      if ($("store").dataset.shown === options) return;
      const before = $("store").value;
      $("store").dataset.shown = options;
      $("store").replaceChildren(...all.map(([kind, n]) => el("option", { value: `${kind}/${encodeURIComponent(n)}` }, `${kind === "kv" ? "KV" : "R2"} ${n}`)));
      if (before !== "") $("store").value = before;
      if (all.length > 0) this.again();
    } catch {
      // The head of the page says that the server does not answer.
    }
  }

  again() {
    $("store-value").replaceChildren();
    return this.load([""]);
  }

  async load(pages) {
    const store = $("store").value;
    const kind = store.slice(0, 2);
    const from = pages.at(-1);
    const q = new URLSearchParams({ prefix: $("store-prefix").value, limit: size, [kind === "kv" ? "after" : "cursor"]: from });
    const question = ++this.#question;
    let answer;
    try {
      answer = await ask(`/api/${store}?${q}`);
    } catch (e) {
      if (question === this.#question) $("store-rows").replaceChildren(el("tr", {}, el("td", { class: "failed", colspan: 3 }, e.message)));
      return;
    }
    if (question !== this.#question) return; // a later question has been asked
    this.#pages = pages;
    this.#rows = kind === "kv" ? answer.keys : answer.objects;
    this.#next = kind === "kv" ? (answer.more ? this.#rows.at(-1).key : "") : (answer.cursor ?? "");
    $("store-rows").replaceChildren(...this.#rows.map((r) => row(r, kind, () => this.open(store, r.key))));
    say($("store-range"), this.#rows.length === 0 ? "no keys" : `page ${count(pages.length)}`);
    $("store-previous").disabled = pages.length === 1;
    $("store-next").disabled = this.#next === "";
  }

  /** Shows the beginning of a value. */
  async open(store, key) {
    const place = $("store-value");
    try {
      const r = await fetch(`/api/${store}/${store.startsWith("kv") ? "value" : "object"}?${new URLSearchParams({ key })}`, { cache: "no-store" });
      if (!r.ok) throw new Error((await r.json()).error);
      const total = Number(r.headers.get("Content-Length"));
      const head = await beginning(r.body);
      place.replaceChildren(el("h2", {}, key), el("p", { class: "soft" }, `${bytes(total)}${head.length < total ? `, of which ${bytes(head.length)} are shown` : ""}`), el("pre", { class: "wrap" }, printed(head)));
    } catch (e) {
      place.replaceChildren(el("p", { class: "failed", role: "alert" }, e.message));
    }
  }
}

function row(r, kind, open) {
  const date = (t) => new Date(t).toISOString().slice(0, 19).replace("T", " ");
  const cells = kind === "kv" ? [r.expiration ? `until ${date(r.expiration)}` : "", r.metadata === undefined ? "" : JSON.stringify(r.metadata)] : [bytes(r.size), date(r.uploaded)];
  return el("tr", {}, el("td", {}, el("button", { class: "link", onclick: open }, r.key)), cells.map((c) => el("td", {}, c)));
}

/** The first bytes of a body; the rest is not fetched. */
async function beginning(body) {
  const reader = body.getReader();
  const parts = [];
  let n = 0;
  while (n < shown) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    n += value.length;
  }
  void reader.cancel();
  return new Uint8Array(await new Blob(parts).arrayBuffer()).subarray(0, shown);
}

/** Text as it is, and other bytes as hexadecimal digits. */
function printed(head) {
  for (let cut = 0; cut < 4; cut++) { // the last character may be cut
    try {
      const text = new TextDecoder("utf-8", { fatal: true }).decode(head.subarray(0, head.length - cut));
      if (!/[\u0000-\u0008\u000e-\u001f]/.test(text)) return text;
    } catch {
      continue;
    }
    break;
  }
  return Array.from(head.subarray(0, 1024), (b) => b.toString(16).padStart(2, "0")).join(" ");
}
