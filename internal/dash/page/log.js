/* A list of lines of the log that stays at its end, unless somebody has scrolled away from it. */

import { el } from "./dom.js";

const most = 500;

export class Log {
  constructor(list) {
    this.list = list;
    this.waiting = [];
  }

  add(line) {
    this.waiting.push(line);
    if (this.waiting.length === 1) requestAnimationFrame(() => this.show());
    if (this.waiting.length > most) this.waiting.shift();
  }

  show() {
    const { list } = this;
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 30;
    list.append(...this.waiting.map(item));
    this.waiting.length = 0;
    while (list.childElementCount > most) list.firstChild.remove();
    if (atEnd) list.scrollTop = list.scrollHeight;
  }
}

function item(line) {
  if (line.lost !== undefined) return el("li", { class: "warn" }, `${line.lost} lines were lost: this page was too slow`);
  const more = Object.entries(line.more ?? {})
    .filter(([k]) => k !== "console" && (k !== "version" || !["debug", "info"].includes(line.level)))
    .map(([k, v]) => `${k}=${v}`)
    .join(" ");
  return el(
    "li",
    { class: line.level },
    el("time", { datetime: line.time }, line.time.slice(11, 23)),
    line.object && el("span", { class: "who" }, `${line.class} ${line.object}`),
    line.msg,
    more && el("span", { class: "more" }, more),
  );
}
