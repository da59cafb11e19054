// The page on the admin address, by keyboard: an object is found and looked at,
// and a guest that stands still is seen.
import assert from "node:assert/strict";
import { launch } from "./chromium.mjs";
import { finish } from "./host.mjs";

const { ADMIN, OBJECT, NEIGHBOUR, GUEST_PID, SCREENSHOTS } = process.env;

const browser = await launch();

try {
  const page = await browser.newPage({ viewport: { width: 1400, height: 1000 } });
  page.setDefaultTimeout(30_000);
  const complaints = [];
  const asked = new Set();
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("request", (request) => asked.add(new URL(request.url()).origin));
  const shoot = async (name, colorScheme) => {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.screenshot({ path: `${SCREENSHOTS}/${name}.png` });
  };
  const text = (selector, hasText) => page.locator(selector, { hasText }).first().waitFor();

  await page.goto(ADMIN);
  await page.waitForSelector('#health[data-ready="true"]');
  await text("#classes .card", "Misbehaving");
  await text("#rows tr", OBJECT);
  await text("#rows tr", NEIGHBOUR);
  await shoot("list", "light");

  // Found, and opened.
  await page.keyboard.press("/");
  await page.keyboard.type(OBJECT);
  await page.locator("#rows tr", { hasText: NEIGHBOUR }).waitFor({ state: "detached" });
  await page.keyboard.press("Enter");
  await text("#object h2", OBJECT);
  await text("#object td", "visitor"); // the tag of its socket
  await text("#object td", "'kept'"); // what is attached to it
  await shoot("object", "dark");

  await page.keyboard.press("2");
  await text("#object td", "wake");
  await page.keyboard.press("3");
  await text("#pairs td", "answer");
  await text("#pairs td", "{ to: 'everything', is: [ 42 ] }");
  await page.locator("#sql").fill("SELECT count(*) AS pages FROM things");
  await page.keyboard.press("Control+Enter");
  await text("#result th", "pages");
  await text("#result td", "2");
  await page.locator("#sql").fill("DELETE FROM things");
  await page.keyboard.press("Control+Enter");
  await page.locator("#result .failed").waitFor();
  await shoot("storage", "light");
  await page.keyboard.press("Escape"); // out of the field
  await page.keyboard.press("4");
  await text("#object .log li", "said by the object"); // before it was opened

  // It leaves memory when it is told, and the page sees it.
  await page.keyboard.press("1");
  await page.keyboard.press("h");
  await text("#object .title .state", "hibernated");
  await page.keyboard.press("2");
  await text("#object td", "sleep");
  await shoot("asleep", "dark");
  await page.keyboard.press("Escape");
  await page.locator("#object").waitFor({ state: "hidden" });

  // An error that nobody caught has its event and version, and the log the same.
  await page.keyboard.press("/");
  await page.keyboard.press("Control+A");
  await page.keyboard.type(NEIGHBOUR);
  await page.locator("#rows tr", { hasText: OBJECT }).waitFor({ state: "detached" });
  await page.keyboard.press("Enter");
  await text("#object h2", NEIGHBOUR);
  await page.keyboard.press("2");
  const thrown = page.locator("#object tr", { hasText: "thrown in a handler" }).first();
  const [, event, version] = /event (\d+-\d+-\d+), version (\w+)/.exec(await thrown.textContent());
  await page.keyboard.press("4");
  await text("#object .log li", `event_id=${event}`);
  await text("#object .log li", `version=${version}`);
  await shoot("error", "light");
  await page.keyboard.press("Escape");
  await page.locator("#object").waitFor({ state: "hidden" });

  // What KV has.
  await page.keyboard.press("s");
  await page.keyboard.type("greet");
  await page.locator("#store-rows tr", { hasText: "data" }).waitFor({ state: "detached" });
  await page.locator("#store-rows button", { hasText: "greeting" }).click();
  await text("#store-value pre", "hello, everybody");
  await shoot("stores", "dark");

  // The help, and what is no object.
  await page.keyboard.press("?");
  await page.locator("#keys").waitFor();
  await page.keyboard.press("Escape");
  // The browser mentions the statement that was refused; nothing else is wrong.
  assert.deepEqual(complaints.map((c) => c.replace(/.*status of (\d+).*/, "$1")), ["400"]);

  process.kill(Number(GUEST_PID), "SIGSTOP");
  await page.waitForSelector('#health[data-ready="false"]');
  await text("#problems li", "guest");
  await shoot("stopped", "light");
  process.kill(Number(GUEST_PID), "SIGCONT");
  await page.waitForSelector('#health[data-ready="true"]');

  assert.deepEqual([...asked], [new URL(ADMIN).origin]); // nobody else
} finally {
  await browser.close();
  finish();
}
