/* The list of objects: searched, filtered and cut into pages by the server. */

import { ask, poll } from "./api.js";
import { $, count, el, say, state } from "./dom.js";

const size = 100;

export class List {
  offset = 0;
  total = 0;
  objects = [];
  selected = -1; // in objects
  #question = 0; // the last that was asked

  /** open is called with the object that is chosen. */
  constructor(open) {
    this.open = open;
    this.current = "";
    let typed;
    $("search").addEventListener("input", () => {
      clearTimeout(typed);
      typed = setTimeout(() => this.again(), 150);
    });
    $("class").addEventListener("change", () => this.again());
    $("state").addEventListener("change", () => this.again());
    $("next").addEventListener("click", () => this.page(1));
    $("previous").addEventListener("click", () => this.page(-1));
    // A list of very many objects costs the server something.
    this.refresh = poll(() => (this.total > 5000 ? 15_000 : 2000), () => this.load());
  }

  again() {
    this.offset = 0;
    this.selected = -1;
    this.load();
  }

  page(by) {
    const to = this.offset + by * size;
    if (to < 0 || to >= this.total) return;
    this.offset = to;
    this.selected = -1;
    this.load();
  }

  async load() {
    const q = new URLSearchParams({ limit: size, offset: this.offset });
    for (const name of ["search", "class", "state"]) if ($(name).value !== "") q.set(name, $(name).value.trim());
    const question = ++this.#question;
    try {
      const answer = await ask(`/api/objects?${q}`);
      if (question !== this.#question) return; // a later question has been asked
      this.total = answer.total;
      this.objects = answer.objects;
      this.show();
    } catch {
      // The line above the list says that the server does not answer.
    }
  }

  show() {
    this.selected = Math.min(this.selected, this.objects.length - 1);
    $("rows").replaceChildren(...this.objects.map((o, i) => this.row(o, i)));
    const last = Math.min(this.offset + size, this.total);
    say($("range"), this.total === 0 ? "no objects" : `${count(this.offset + 1)}–${count(last)} of ${count(this.total)}`);
    $("previous").disabled = this.offset === 0;
    $("next").disabled = last >= this.total;
  }

  row(o, i) {
    return el(
      "tr",
      { "aria-selected": i === this.selected, "aria-current": `${o.namespace}/${o.id}` === this.current, onclick: () => this.choose(i) },
      el("td", { class: o.name === undefined ? "id" : "", title: o.id }, o.name ?? o.id),
      el("td", {}, o.class),
      el("td", {}, state(o.state)),
      el("td", { class: "number" }, count(o.sockets)),
      el("td", { class: "number" }, count(o.tasks)),
      el("td", { class: "number" }, count(o.mailbox)),
    );
  }

  choose(i) {
    this.selected = i;
    this.open(this.objects[i]);
  }

  move(by) {
    if (this.objects.length === 0) return;
    const rows = $("rows").children;
    rows[this.selected]?.removeAttribute("aria-selected");
    this.selected = Math.max(0, Math.min(this.objects.length - 1, this.selected + by));
    rows[this.selected]?.setAttribute("aria-selected", "true");
    rows[this.selected]?.scrollIntoView({ block: "nearest" });
  }

  enter() {
    if (this.selected >= 0) this.open(this.objects[this.selected]);
    else if (this.objects.length === 1) this.choose(0);
  }
}
