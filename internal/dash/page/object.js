/* One object: what it is, what happened to it, what it has stored, what it says. */

import { ask, follow, pathOf, poll, post } from "./api.js";
import { $, bytes, count, duration, el, facts, since, state } from "./dom.js";
import { Log } from "./log.js";
import { Storage } from "./storage.js";

const tabs = ["overview", "timeline", "storage", "log"];

export class Panel {
  #object = null; // namespace and id
  #ended = new AbortController();
  #tab = "overview";
  #events = []; // that were seen live, newest first

  constructor(closed) {
    this.closed = closed;
    poll(1000, () => this.#object && this.load());
  }

  get isOpen() {
    return this.#object !== null;
  }

  open(o) {
    this.close(true);
    this.#object = { namespace: o.namespace, id: o.id };
    this.#ended = new AbortController();
    this.#events = [];
    const root = $("object");
    this.title = el("div", { class: "title" });
    this.views = Object.fromEntries(tabs.map((t) => [t, el("div", { role: "tabpanel", "data-tab": t })]));
    this.buttons = tabs.map((t, i) => el("button", { role: "tab", title: `${t} (${i + 1})`, onclick: () => this.tab(t) }, t));
    const lines = el("ol", { class: "log" });
    this.views.log.append(lines);
    this.storage = new Storage(this.views.storage, pathOf(this.#object));
    root.replaceChildren(this.title, el("div", { class: "tabs", role: "tablist" }, this.buttons), ...Object.values(this.views));
    root.hidden = false;
    document.querySelector("main").classList.add("open");
    this.tab(this.#tab);
    const log = new Log(lines);
    follow({ object: o.id, level: "debug", past: 200 }, (l) => this.#heard(l, log), this.#ended.signal);
    this.load();
  }

  close(quietly = false) {
    this.#ended.abort();
    this.#object = null;
    $("object").hidden = true;
    document.querySelector("main").classList.remove("open");
    if (!quietly) this.closed();
  }

  tab(name) {
    if (!this.isOpen) return;
    this.#tab = name;
    tabs.forEach((t, i) => {
      this.buttons[i].setAttribute("aria-selected", t === name);
      this.views[t].hidden = t !== name;
    });
    if (name === "storage") this.storage.load();
    this.load();
  }

  tabAt(i) {
    this.tab(tabs[i]);
  }

  #heard(line, log) {
    log.add(line);
    if (line.msg !== "event") return;
    this.#events.unshift(line);
    this.#events.length = Math.min(this.#events.length, 200);
  }

  async load() {
    const o = this.#object;
    const path = pathOf(o);
    const [found, past] = await Promise.all([
      ask(path).catch((e) => ({ ...o, state: e.status === 404 ? "inactive" : "unknown", socket_list: [], error: e.message })),
      this.#tab === "timeline" ? ask(`${path}/timeline`).catch(() => null) : null,
    ]);
    if (o !== this.#object) return; // closed meanwhile
    this.#head(found);
    if (this.#tab === "overview") this.views.overview.replaceChildren(...overview(found));
    if (past !== null) this.views.timeline.replaceChildren(timeline(past.timeline, this.#events));
  }

  #head(o) {
    const rest = ["active", "idle"].includes(o.state);
    if (this.title.dataset.state === o.state && this.title.dataset.id === o.id) return;
    this.title.dataset.state = o.state;
    this.title.dataset.id = o.id;
    this.title.replaceChildren(
      el("h2", {}, o.name ?? "without a name"),
      state(o.state),
      rest && el("button", { id: "hibernate", title: "Have it leave memory (h)", onclick: () => this.hibernate() }, "hibernate"),
      el("button", { title: "Close (Esc)", onclick: () => this.close() }, "close"),
      el("span", { class: "id" }, `${o.namespace} / ${o.id}`),
    );
  }

  async hibernate() {
    if (this.isOpen) await post(`${pathOf(this.#object)}/hibernate`).catch(() => {}); // the overview says why not
    this.load();
  }
}

function alarm(a) {
  const parts = [a.time && `set for ${a.time}`, a.running && "runs now", a.retry_count > 0 && `failed ${a.retry_count} times`];
  if (a.next !== undefined && a.next !== a.time) parts.push(`next at ${a.next}`);
  return parts.filter(Boolean).join(", ");
}

function overview(o) {
  const list = [
    facts([
      ["class", o.class],
      ["in memory", o.in_memory_since && `for ${since(o.in_memory_since)}, in guest ${o.guest}`],
      ["alarm", o.alarm && alarm(o.alarm)],
      ["mailbox", o.mailbox ? `${count(o.mailbox)} events wait` : ""],
      ["output gate", o.output_gate_bytes ? `${bytes(o.output_gate_bytes)} wait for the disk` : ""],
      ["isolated", o.isolated_until && `until ${new Date(o.isolated_until).toISOString()}, after ${o.guest_deaths} deaths`],
      ["note", o.error],
    ]),
  ];
  const why = o.why_awake ?? [];
  if (why.length > 0) {
    list.push(el("h2", {}, "Why it is awake"), table(["what", "for", "detail", "where"], why.map((w) => [w.kind, since(new Date(w.since ?? Date.now()).toISOString()), w.detail ?? "", w.stack ?? ""])));
  }
  const sockets = o.socket_list ?? [];
  if (sockets.length > 0) {
    const rows = sockets.slice(0, 200).map((s) => [
      String(s.id), s.remote, s.tags.join(", "), s.attachment ?? (s.attachment_bytes ? bytes(s.attachment_bytes) : ""),
      s.buffered_bytes ? bytes(s.buffered_bytes) : "", s.closing ? "closing" : s.last_auto_response ? `answered ${since(s.last_auto_response)} ago` : "",
    ]);
    list.push(el("h2", {}, `Sockets (${count(o.sockets)}${o.sockets > rows.length ? `, the ${rows.length} oldest` : ""})`), table(["socket", "from", "tags", "attachment", "waiting", ""], rows));
  }
  return list;
}

function timeline(past, events) {
  const rows = past.map((m) => [m.at, m.what, [m.why, m.event_id && `event ${m.event_id}`, m.version && `version ${m.version}`, m.events && `${count(m.events)} events`, m.lasted_seconds && `in memory for ${duration(m.lasted_seconds)}`].filter(Boolean).join(", ")]);
  for (const e of events) rows.push([e.time, e.more.event, `took ${e.more.took}${e.more.events ? `, ${e.more.events} of them` : ""}`]);
  rows.sort((a, b) => Date.parse(b[0]) - Date.parse(a[0]));
  if (rows.length === 0) return el("p", { class: "soft" }, "Nothing is remembered of it. Its events are seen from now on.");
  return table(["when", "what", ""], rows.slice(0, 300).map(([at, ...rest]) => [at.replace("T", " ").slice(0, 23), ...rest]));
}

export function table(head, rows) {
  return el(
    "div",
    { class: "scroll" },
    el("table", {}, el("thead", {}, el("tr", {}, head.map((h) => el("th", {}, h)))), el("tbody", {}, rows.map((r) => el("tr", {}, r.map((c) => el("td", { class: "wrap" }, c)))))),
  );
}
