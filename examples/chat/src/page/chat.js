// The page of a room: who is here, what was said, and whether the room sleeps.
// No framework and nothing from elsewhere; `tsc` reads the types in comments.

/** @import { FromRoom, Message, Person, Say } from "../protocol" */

const KEEP_ALIVE = 15_000; // between two pings
const PONG_WITHIN = 5_000; // or the connection counts as lost
const SLOWEST_RETRY = 15_000;
const SAME_BREATH = 5 * 60_000; // messages this close share one name
const PORTRAIT_SIZE = 256; // pixels

/**
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 */
const $ = (id) => /** @type {T} */ (document.getElementById(id));

/** @param {string} tag @param {string} className @param {...(Node | string)} children */
function element(tag, className, ...children) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

/** People are told apart by their names, whatever the case. @param {string} name */
const keyOf = (name) => name.normalize("NFC").toLowerCase();

// ---------------------------------------------------------------- connection

/**
 * A WebSocket that comes back: after a loss it is opened again, later each
 * time, until it is left. What is not understood here is the room's.
 */
class Connection {
  /** @type {WebSocket | undefined} */ #socket;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #losses = 0;
  #pingedAt = 0;

  /**
   * @param {string} url
   * @param {{ news(news: FromRoom): void, state(state: "connecting" | "connected" | "waiting", retryAt?: number): void, pong(rtt: number): void }} on
   */
  constructor(url, on) {
    this.url = url;
    this.on = on;
    this.open();
  }

  open() {
    this.#drop();
    this.on.state("connecting");
    const socket = (this.#socket = new WebSocket(this.url));
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = () => this.#lost();
  }

  /** Whether it could be sent. @param {string | Blob} data */
  send(data) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(data);
    return true;
  }

  leave() {
    this.#drop();
  }

  /** @param {string} data */
  #receive(data) {
    if (data === "pong") {
      this.on.pong(performance.now() - this.#pingedAt);
      this.#later(KEEP_ALIVE, () => this.ping());
      return;
    }
    const news = /** @type {FromRoom} */ (JSON.parse(data));
    if (news.type === "welcome") {
      this.#losses = 0;
      this.on.state("connected");
      this.ping();
    }
    this.on.news(news);
  }

  /** Answered by the runtime, so this tells of the connection and wakes nobody. */
  ping() {
    this.#pingedAt = performance.now();
    if (this.send("ping")) this.#later(PONG_WITHIN, () => this.#lost());
  }

  #lost() {
    this.#drop();
    const wait = Math.min(SLOWEST_RETRY, 500 * 2 ** this.#losses++) * (0.5 + Math.random() / 2);
    this.on.state("waiting", performance.now() + wait);
    this.#later(wait, () => this.open());
  }

  #drop() {
    clearTimeout(this.#timer);
    if (!this.#socket) return;
    this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = undefined;
  }

  /** One thing at a time is waited for: a pong, the next ping or the next try. @param {number} wait @param {() => void} then */
  #later(wait, then) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, wait);
  }
}

// ------------------------------------------------------------- awake, asleep

/**
 * Whether the room is in memory, told from outside. It starts from what the
 * Worker says (vars in wrangler.jsonc) and learns: a silence that the same
 * instance survived was too short, one that ended with a new instance was long
 * enough.
 */
const rest = {
  awakeSince: 0,
  heardAt: 0,
  sleepsAfter: 10_000,
  wakes: 0,

  /** Takes note of something heard; returns how long the room had slept or been silent, if it woke for this. @param {FromRoom} news */
  hear(news) {
    const quiet = performance.now() - this.heardAt;
    const woke = this.awakeSince !== 0 && news.awakeSince !== this.awakeSince;
    if (news.type === "welcome") this.sleepsAfter = news.sleepsAfter;
    else if (woke) this.sleepsAfter = Math.max(500, Math.min(this.sleepsAfter, quiet));
    else this.sleepsAfter = Math.max(this.sleepsAfter, quiet);
    if (woke) this.wakes++;
    this.awakeSince = news.awakeSince;
    this.heardAt = performance.now();
    return woke ? quiet : 0;
  },

  show() {
    const quiet = performance.now() - this.heardAt;
    const left = this.sleepsAfter - quiet;
    const known = document.body.dataset.connection === "connected";
    const state = !known ? "unknown" : left > 0 ? "awake" : "asleep";
    document.body.dataset.rest = state;
    setText("rest", { unknown: "Out of sight", awake: "Awake", asleep: "Asleep" }[state]);
    setText("rest-text", {
      unknown: "Without a connection nobody can tell.",
      awake: `Falls asleep in ${Math.ceil(left / 1000)} s, if nobody speaks.`,
      asleep: `Silent for ${duration(quiet)}. You are still connected: say something and it wakes.`,
    }[state]);
    $("candle").style.transform = `scaleX(${state === "awake" ? left / this.sleepsAfter : 0})`;
    setText("since", known && state === "awake" ? clock(this.awakeSince, true) : "–");
    setText("wakes", String(this.wakes));
  },
};

/** Only when it changes: screen readers read what is set. @param {string} id @param {string} text */
function setText(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

/** @param {number} ms */
function duration(ms) {
  const s = Math.round(ms / 1000);
  if (s < 90) return `${s} s`;
  return s < 5400 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`;
}

/** @param {number} time @param {boolean} [seconds] */
function clock(time, seconds) {
  return new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", ...(seconds && { second: "2-digit" }) });
}

// ------------------------------------------------------------------ the room

/** @type {Connection | undefined} */ let connection;
/** @type {Map<string, Person>} */ let people = new Map();
/** What was said here and not yet told by the room: text by ref. @type {Map<string, string>} */ const pending = new Map();
/** @type {Blob | undefined} */ let portrait;
let me = "";
let room = "";
let lastId = 0;
let unread = 0;

/** @param {FromRoom} news */
function receive(news) {
  const slept = rest.hear(news);
  rest.show();
  if (slept && news.type !== "welcome") tellEvent(`The room woke up for this, after ${duration(slept)} of silence`, "woke");
  switch (news.type) {
    case "welcome": return welcome(news);
    case "message": return showMessage(news.message);
    case "join":
      showPerson(news.person);
      return tellEvent(`${news.person.name} came in`);
    case "quit":
      people.delete(keyOf(news.name));
      showPeople();
      return tellEvent(`${news.name} left`);
    case "portrait": return showPerson(news.person);
    case "slow":
      giveBack(news.ref);
      return notice(`A little slower, please: again in ${duration(Math.max(1000, news.wait))}.`);
    case "refused":
      giveBack(news.ref);
      return notice(news.why);
  }
}

/** @param {FromRoom & { type: "welcome" }} news */
function welcome({ you, people: present, messages }) {
  me = you;
  people = new Map(present.map((person) => [keyOf(person.name), person]));
  showPeople();

  const newest = messages.at(-1)?.id ?? 0;
  if (newest < lastId) clearLog(); // another life of this room
  for (const message of messages) if (message.id > lastId) showMessage(message);
  if (messages.length === 0 && !$("log").hasChildNodes()) tellEvent("Nobody has said anything here yet.", "empty");

  // Lost on the way out, perhaps: the room tells a ref only once.
  for (const [ref, text] of pending) connection?.send(JSON.stringify({ type: "say", text, ref }));
  if (portrait) connection?.send(portrait);
}

/** @param {string} text */
function say(text) {
  const ref = crypto.randomUUID();
  /** @type {Say} */ const message = { type: "say", text, ref };
  if (!connection?.send(JSON.stringify(message))) return false;
  pending.set(ref, text);
  addMessage({ id: 0, name: me, text, sent: Date.now(), ref }).classList.add("pending");
  return true;
}

/** A message that was refused goes back to where it was written. @param {string | null} ref */
function giveBack(ref) {
  if (!ref) return;
  const text = pending.get(ref);
  pending.delete(ref);
  pendingLine(ref)?.remove();
  const box = /** @type {HTMLTextAreaElement} */ ($("text"));
  if (text && box.value === "") box.value = text;
}

/** @param {string} ref */
const pendingLine = (ref) => $("log").querySelector(`[data-ref="${CSS.escape(ref)}"]`);

// ------------------------------------------------------------ what was said

/** @param {Message} message */
function showMessage(message) {
  lastId = Math.max(lastId, message.id);
  if (message.ref && pending.delete(message.ref)) pendingLine(message.ref)?.remove();
  addMessage(message);
  if (document.hidden && keyOf(message.name) !== keyOf(me)) unread++;
  showTitle();
}

/** @param {Message} message */
function addMessage({ name, text, sent, ref }) {
  const mine = keyOf(name) === keyOf(me);
  const said = element("p", "said", ...withLinks(text));
  said.title = new Date(sent).toLocaleString();
  const time = /** @type {HTMLTimeElement} */ (element("time", "", clock(sent)));
  time.dateTime = new Date(sent).toISOString();
  const line = element("li", `message ${mine ? "mine" : "theirs"}`,
    avatar(name), element("p", "who", element("b", "", name), time), said);
  line.dataset.by = keyOf(name);
  line.dataset.sent = String(sent);
  if (ref) line.dataset.ref = ref;
  line.style.setProperty("--hue", hue(name));

  const before = /** @type {HTMLElement | null} */ ($("log").lastElementChild);
  const breath = before?.dataset.by === line.dataset.by && sent - Number(before?.dataset.sent) < SAME_BREATH;
  line.classList.toggle("first", !breath);
  append(line, mine);
  return line;
}

/** @param {string} text @param {string} [kind] */
function tellEvent(text, kind = "") {
  append(element("li", `event ${kind}`, text));
}

/** @param {HTMLElement} line @param {boolean} [follow] */
function append(line, follow) {
  const log = $("log");
  log.querySelector(".empty")?.remove();
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  log.append(line);
  if (atEnd || follow) log.scrollTop = log.scrollHeight;
  else $("newer").hidden = false;
}

function clearLog() {
  $("log").replaceChildren();
  lastId = 0;
}

/** @param {string} text */
function* withLinks(text) {
  for (const part of text.split(/(https?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]])/)) {
    if (!/^https?:\/\//.test(part)) {
      yield part;
      continue;
    }
    const link = /** @type {HTMLAnchorElement} */ (element("a", "", part));
    link.href = part;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    yield link;
  }
}

// --------------------------------------------------------------- who is here

/** @param {Person} person */
function showPerson(person) {
  people.set(keyOf(person.name), person);
  showPeople();
}

function showPeople() {
  setText("count", String(people.size));
  setText("here", `Here now (${people.size})`);
  $("people").replaceChildren(...Array.from(people.values(), (person) => {
    const line = element("li", "", avatar(person.name), element("span", "", person.name));
    if (keyOf(person.name) === keyOf(me)) line.append(element("small", "", "you"));
    return line;
  }));
}

/** @param {string} name */
function avatar(name) {
  const made = element("span", "avatar");
  made.ariaHidden = "true";
  made.style.setProperty("--hue", hue(name));
  const picture = people.get(keyOf(name))?.portrait;
  if (picture) {
    const image = document.createElement("img");
    image.alt = "";
    image.src = `/api/room/${encodeURIComponent(room)}/portrait/${picture}`;
    made.append(image);
  } else {
    made.append(name.split(/\s+/, 2).map((word) => Array.from(word)[0] ?? "").join("").toUpperCase());
  }
  return made;
}

/** One colour for one name, everywhere. @param {string} name */
function hue(name) {
  let h = 7;
  for (const c of keyOf(name)) h = (h * 31 + (c.codePointAt(0) ?? 0)) % 360;
  return String(h);
}

/** The middle of a picture, small enough to send, too large for an attachment. @param {File} file */
async function choosePortrait(file) {
  const picture = await createImageBitmap(file).catch(() => null);
  if (!picture) return notice("That file is not a picture.");
  const side = Math.min(picture.width, picture.height);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = PORTRAIT_SIZE;
  canvas.getContext("2d")?.drawImage(picture,
    (picture.width - side) / 2, (picture.height - side) / 2, side, side, 0, 0, PORTRAIT_SIZE, PORTRAIT_SIZE);
  /** @type {Blob | null} */
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
  portrait = blob ?? undefined;
  if (portrait) connection?.send(portrait);
}

// ------------------------------------------------------------------- the page

/** @type {ReturnType<typeof setTimeout>} */ let noticeTimer;
/** @param {string} text */
function notice(text) {
  setText("notice", text);
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => setText("notice", ""), 5000);
}

let retryAt = 0;
function showConnection() {
  const state = /** @type {"connecting" | "connected" | "waiting"} */ (document.body.dataset.connection);
  const wait = Math.max(1, Math.ceil((retryAt - performance.now()) / 1000));
  setText("connection-text", { connecting: "Connecting", connected: "Connected", waiting: "Connection lost" }[state]);
  setText("retry", `Try now (or in ${wait} s)`);
  $("retry").hidden = state !== "waiting";
}

function showTitle() {
  document.title = (unread > 0 ? `(${unread}) ` : "") + (room || "Chat");
}

/** @param {string} name @param {string} into */
function enter(name, into) {
  room = into;
  sessionStorage.setItem("name", name);
  history.replaceState(null, "", `/room/${encodeURIComponent(into)}`);
  setText("title", into);
  showTitle();
  $("door").hidden = true;
  $("chat").hidden = false;
  $("text").focus();
  const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/room/${encodeURIComponent(into)}/websocket?name=${encodeURIComponent(name)}`;
  connection = new Connection(url, {
    news: receive,
    state(state, at = 0) {
      document.body.dataset.connection = state;
      retryAt = at;
      showConnection();
      rest.show();
    },
    pong: (rtt) => setText("rtt", rtt < 10 ? `${rtt.toFixed(1)} ms` : `${Math.round(rtt)} ms`),
  });
}

function leave() {
  connection?.leave();
  sessionStorage.removeItem("name");
  location.assign("/"); // which also forgets everything else
}

const THEMES = ["auto", "light", "dark"];
/** @param {string} theme */
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  $("theme").textContent = { auto: "◐", light: "☀", dark: "☾" }[theme] ?? "◐";
  $("theme").ariaLabel = `Colours: ${theme}`;
  $("theme").title = `Colours: ${theme}`;
}

function listen() {
  const box = /** @type {HTMLTextAreaElement} */ ($("text"));
  const composer = /** @type {HTMLFormElement} */ ($("composer"));
  $("enter").addEventListener("submit", (event) => {
    event.preventDefault();
    const form = new FormData(/** @type {HTMLFormElement} */ ($("enter")));
    enter(String(form.get("name")).trim(), String(form.get("room")).trim());
  });
  composer.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = box.value.trim();
    if (text === "") return;
    if (say(text)) box.value = "";
    else notice("Not connected just now. Your message is kept here.");
  });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    composer.requestSubmit();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") toggleSide(false);
    const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement;
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    box.focus();
  });
  const log = $("log");
  log.addEventListener("scroll", () => {
    if (log.scrollHeight - log.scrollTop - log.clientHeight < 80) $("newer").hidden = true;
  });
  $("newer").addEventListener("click", () => (log.scrollTop = log.scrollHeight));
  $("portrait").addEventListener("change", (event) => {
    const file = /** @type {HTMLInputElement} */ (event.target).files?.[0];
    if (file) choosePortrait(file);
  });
  $("leave").addEventListener("click", leave);
  $("retry").addEventListener("click", () => connection?.open());
  $("side-toggle").addEventListener("click", () => toggleSide());
  $("theme").addEventListener("click", () => {
    const now = THEMES.indexOf(document.documentElement.dataset.theme ?? "auto");
    setTheme(THEMES[(now + 1) % THEMES.length] ?? "auto");
  });
  window.addEventListener("online", () => {
    if (document.body.dataset.connection === "waiting") connection?.open();
    else connection?.ping();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    unread = 0;
    showTitle();
    connection?.ping(); // a machine that slept learns at once what it lost
  });
  setInterval(() => {
    if (!connection) return;
    rest.show();
    showConnection();
  }, 250);
}

/** @param {boolean} [open] */
function toggleSide(open) {
  const isOpen = $("side").classList.toggle("open", open);
  $("side-toggle").ariaExpanded = String(isOpen);
}

function start() {
  setTheme(localStorage.getItem("theme") ?? "auto");
  listen();
  const asked = /^\/room\/([^/]+)$/.exec(location.pathname)?.[1];
  if (asked) /** @type {HTMLInputElement} */ ($("room")).value = decodeURIComponent(asked);
  const name = sessionStorage.getItem("name");
  if (name && asked) return enter(name, decodeURIComponent(asked));
  $("name").focus();
}

start();
