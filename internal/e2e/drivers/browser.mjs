// Two people in two tabs of a real browser, across a sleep of their room.
import assert from "node:assert/strict";
import { launch } from "./chromium.mjs";
import { finish, room, untilAsleep, url } from "./host.mjs";


const browser = await launch();

const complaints = []; // errors that a page logs, and what its policy forbids

/** Opens a tab of its own person and comes in through the door, by keyboard alone. */
async function enter(context, name, prepare) {
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on("pageerror", (error) => complaints.push(`${name}: ${error}`));
  page.on("console", (message) => message.type() === "error" && complaints.push(`${name}: ${message.text()}`));
  await page.addInitScript(() => {
    window.rests = []; // every state of the room that the page has shown
    new MutationObserver(() => {
      const { rest } = document.body.dataset;
      if (rest !== window.rests.at(-1)) window.rests.push(rest);
    }).observe(document, { subtree: true, attributeFilter: ["data-rest"] });
  });
  await prepare?.(page);
  await page.goto(url);
  await page.keyboard.type(name); // the field for it has the focus
  await page.keyboard.press("Tab");
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type(room);
  await page.keyboard.press("Enter");
  await page.waitForSelector('body[data-connection="connected"]');
  return page;
}

async function say(page, text) {
  await page.keyboard.type(text); // so has the one for messages
  await page.keyboard.press("Enter");
}

const heard = (page, text) => page.locator(".message:not(.pending) .said", { hasText: text }).waitFor();

/** Waits until exactly these are listed. */
async function here(page, names) {
  await page.waitForFunction((want) => {
    const listed = Array.from(document.querySelectorAll("#people li > span:last-of-type"), (e) => e.textContent);
    return JSON.stringify(listed) === JSON.stringify(want);
  }, names);
}

/** What the page has shown of the room since `from` states ago, and how often it saw it wake. */
const rests = (page, from = 0) => page.evaluate((from) => window.rests.slice(from), from);
const wakes = async (page) => Number(await page.locator("#wakes").textContent());

async function shoot(page, name, colorScheme) {
  await page.bringToFront();
  await page.emulateMedia({ colorScheme, reducedMotion: "reduce" }); // nothing is caught half-way
  await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png` });
}

try {
  const context = await browser.newContext({ viewport: { width: 1180, height: 760 } });
  const ada = await enter(context, "Ada");
  await shoot(ada, "alone", "light");
  const bob = await enter(context, "Bob");
  await here(ada, ["Ada", "Bob"]);
  await here(bob, ["Ada", "Bob"]);

  await say(ada, "Good evening. Shall we be quiet for a while?");
  await heard(bob, "quiet for a while?");
  await say(bob, "Gladly. I shall still be here.");
  await heard(ada, "I shall still be here.");
  assert.ok((await rests(ada)).includes("awake"));
  await shoot(ada, "awake", "light");
  await shoot(bob, "awake-dark", "dark");

  await untilAsleep();
  for (const page of [ada, bob]) await page.waitForSelector('body[data-rest="asleep"]', { timeout: 30_000 });
  await shoot(ada, "asleep", "light");
  await shoot(bob, "asleep-dark", "dark");
  assert.equal(await ada.getAttribute("body", "data-connection"), "connected");

  const asleep = new Map();
  for (const page of [ada, bob]) asleep.set(page, { shown: (await rests(page)).length, wakes: await wakes(page) });
  await say(bob, "Did you sleep well?");
  for (const page of [ada, bob]) {
    // Not what the page guesses: another instance of the room has spoken.
    const { shown, wakes: before } = asleep.get(page);
    await heard(page, "Did you sleep well?");
    assert.equal(await wakes(page), before + 1);
    assert.equal((await rests(page, shown))[0], "awake");
    await page.locator(".event.woke + .message", { hasText: "Did you sleep well?" }).waitFor();
    await here(page, ["Ada", "Bob"]);
  }
  const who = await ada.locator(".message", { hasText: "Did you sleep well?" }).getAttribute("data-by");
  assert.equal(who, "bob");
  await shoot(ada, "woken", "light");
  await shoot(bob, "woken-dark", "dark");

  // A connection that breaks comes back by itself, with the name, and says
  // again what it does not know to have been heard.
  let lossy; // her first connection, on which only pings get through
  const mia = await enter(context, "Mia", (page) => page.routeWebSocket(/websocket/, (route) => {
    const server = route.connectToServer();
    if (lossy) return;
    lossy = { route, server };
    route.onMessage((message) => message === "ping" && server.send(message));
  }));
  await here(ada, ["Ada", "Bob", "Mia"]);
  await say(mia, "Lost on the way.");
  await mia.locator(".pending", { hasText: "Lost on the way." }).waitFor();
  await Promise.all([lossy.server.close(), lossy.route.close({ code: 1012 })]);
  await heard(ada, "Lost on the way.");
  await heard(mia, "Lost on the way.");
  await here(mia, ["Ada", "Bob", "Mia"]);

  await bob.close();
  await here(ada, ["Ada", "Mia"]);

  await mia.setViewportSize({ width: 390, height: 780 });
  await shoot(mia, "narrow", "light");
  await mia.locator("#side-toggle").click();
  await mia.locator("#people").waitFor();
  await shoot(mia, "narrow-side", "dark");

  assert.deepEqual(complaints, []);
} finally {
  await browser.close();
  finish();
}
