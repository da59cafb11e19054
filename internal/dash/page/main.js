/* The page: what the server says of itself, the list, the object that is open, the keys. */

import { ask, follow, poll } from "./api.js";
import { $, count, duration, el, say } from "./dom.js";
import { List } from "./list.js";
import { Log } from "./log.js";
import { Panel } from "./object.js";
import { Stores } from "./stores.js";

const panel = new Panel(() => {
  history.replaceState(null, "", "#");
  mark("");
});
const list = new List((o) => {
  location.hash = `${encodeURIComponent(o.namespace)}/${o.id}`;
});

function mark(key) {
  list.current = key;
  list.show();
}

/** The address says which object is open, so that it can be sent to somebody. */
function openHash() {
  const [namespace, id] = location.hash.slice(1).split("/");
  if (id === undefined) {
    if (panel.isOpen) panel.close();
    return;
  }
  panel.open({ namespace: decodeURIComponent(namespace), id });
  mark(`${decodeURIComponent(namespace)}/${id}`);
}
addEventListener("hashchange", openHash);

// ---- What the server says of itself

let before = new Map(); // wakes of each class, at the last look
let looked = 0;

poll(1000, async () => {
  const health = $("health");
  try {
    const [ready, { classes }] = await Promise.all([ask("/readyz"), ask("/api/classes")]);
    health.dataset.ready = ready.ready;
    say(health, ready.ready ? "ready" : "not ready");
    const problems = JSON.stringify(ready.problems);
    if ($("problems").dataset.shown !== problems) {
      $("problems").dataset.shown = problems;
      $("problems").replaceChildren(...ready.problems.map((p) => el("li", { class: p.warning ? "warning" : "" }, p.text)));
    }
    showClasses(classes);
  } catch {
    health.dataset.ready = false;
    say(health, "the server does not answer");
  }
});

function showClasses(classes) {
  const now = performance.now();
  const seconds = (now - looked) / 1000;
  const root = $("classes");
  if (root.childElementCount !== classes.length) {
    root.replaceChildren(...classes.map((c) => el("article", { class: "card" }, el("h3", {}, c.name), el("dl"))));
    $("class").replaceChildren(el("option", { value: "" }, "every class"), ...classes.map((c) => el("option", {}, c.name)));
  }
  classes.forEach((c, i) => {
    const rate = before.has(c.name) && seconds < 5 ? (c.wakes - before.get(c.name)) / seconds : 0;
    const rows = [
      ["in memory", count(c.in_memory)],
      ["hibernated", count(c.hibernated)],
      ["wakes", `${count(c.wakes)} (${rate.toFixed(rate < 10 ? 1 : 0)}/s)`],
      ["constructor", c.constructions ? duration(c.constructor_seconds / c.constructions) : "–"],
      ["asleep instead of awake", duration(c.hibernated_object_seconds)],
    ];
    root.children[i].querySelector("dl").replaceChildren(...rows.flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, v)]));
    before.set(c.name, c.wakes);
  });
  looked = now;
}

new Stores();
const log = new Log($("log"));
follow({ level: "info", past: 200 }, (l) => log.add(l), new AbortController().signal);

// ---- Keys

const keys = {
  "/": () => $("search").focus(),
  "?": () => $("keys").showModal(),
  j: () => list.move(1), ArrowDown: () => list.move(1),
  k: () => list.move(-1), ArrowUp: () => list.move(-1),
  n: () => list.page(1),
  p: () => list.page(-1),
  h: () => panel.hibernate(),
  s: () => !$("stores").hidden && $("store-prefix").focus(),
  Enter: () => list.enter(),
  Escape: () => panel.isOpen && panel.close(),
  1: () => panel.tabAt(0), 2: () => panel.tabAt(1), 3: () => panel.tabAt(2), 4: () => panel.tabAt(3),
};

addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || $("keys").open) return;
  const { target } = e;
  if (target.closest("input, textarea, select")) {
    if (e.key === "Escape") target.blur();
    else if (target === $("search") && (e.key === "Enter" || e.key === "ArrowDown")) {
      target.blur();
      list.move(1);
      if (e.key === "Enter") list.enter();
      e.preventDefault();
    }
    return;
  }
  if (e.key === "Enter" && target.closest("button, a")) return;
  const f = keys[e.key];
  if (f === undefined) return;
  e.preventDefault();
  f();
});
$("help").addEventListener("click", () => $("keys").showModal());

openHash();
