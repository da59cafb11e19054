/* What an object has stored, as of its last commit: it is read from a copy, and the object is not woken for it. */

import { ask, post } from "./api.js";
import { bytes, count, el } from "./dom.js";
import { table } from "./object.js";

const most = 200; // rows and keys that are shown

export class Storage {
  constructor(root, path) {
    this.path = path;
    this.summary = el("div");
    this.sql = el("textarea", { id: "sql", placeholder: "SELECT … (read only; Ctrl+Enter runs it)", "aria-label": "SQL", spellcheck: "false" });
    this.sql.addEventListener("keydown", (e) => {
      if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) this.run();
    });
    this.result = el("div", { id: "result" });
    this.prefix = el("input", { type: "search", placeholder: "Keys that begin with", "aria-label": "Keys that begin with", spellcheck: "false" });
    this.prefix.addEventListener("input", () => this.keys());
    this.pairs = el("div", { id: "pairs" });
    root.append(
      this.summary,
      el("h2", {}, "SQL"), this.sql, el("div", { class: "bar" }, el("button", { onclick: () => this.run() }, "Run")), this.result,
      el("h2", {}, "Keys and values"), el("div", { class: "bar" }, this.prefix), this.pairs,
    );
  }

  async load() {
    try {
      const c = await ask(`${this.path}/tables`);
      this.summary.replaceChildren(
        el("p", { class: "soft" }, `${bytes(c.bytes)}, ${count(c.keys)} ${c.keys === 1 ? "key" : "keys"}${c.alarm ? `, alarm at ${c.alarm}` : ""}`),
        el("div", { class: "bar" }, (c.tables ?? []).map((t) => el("button", { title: t.sql, onclick: () => this.select(t.name) }, t.name))),
      );
      this.keys();
    } catch (e) {
      this.summary.replaceChildren(el("p", { class: "soft" }, e.status === 404 ? "It has stored nothing." : e.message));
    }
  }

  select(name) {
    this.sql.value = `SELECT * FROM "${name.replaceAll('"', '""')}" LIMIT 100`;
    this.run();
  }

  async run() {
    try {
      const r = await post(`${this.path}/sql`, { sql: this.sql.value, limit: most });
      const rows = (r.rows ?? []).map((row) => row.map(printed));
      this.result.replaceChildren(table(r.columns ?? [], rows), r.more ? el("p", { class: "soft" }, `only the first ${most} rows`) : "");
    } catch (e) {
      const text = e.message.replace(/: say --write$/, "; dormouse storage sql --write can change it");
      this.result.replaceChildren(el("p", { class: "failed", role: "alert" }, text));
    }
  }

  async keys() {
    const prefix = this.prefix.value;
    try {
      const r = await ask(`${this.path}/kv?${new URLSearchParams({ prefix, limit: most })}`);
      if (prefix !== this.prefix.value) return;
      const rows = r.pairs.map((p) => [p.key, p.error ?? `${p.text}${p.cut ? " …" : ""}`]);
      this.pairs.replaceChildren(table(["key", "value"], rows), r.more ? el("p", { class: "soft" }, `only the first ${most} keys`) : "");
    } catch (e) {
      this.pairs.replaceChildren(el("p", { class: "soft" }, e.status === 404 ? "" : e.message));
    }
  }
}

/** A cell of a row: docs/admin-api.md. */
function printed(v) {
  if (v === null) return "NULL";
  if (typeof v !== "object") return String(v);
  return v.integer ?? v.number ?? (v.blob !== undefined ? `blob of ${count(Math.floor((v.blob.length * 3) / 4))} bytes` : "text that is not UTF-8");
}
