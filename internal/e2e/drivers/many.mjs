// The page on the admin address over 100,000 objects: what a person does to find
// one. It writes down how long each question took, in times.json.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { launch } from "./chromium.mjs";
import { finish } from "./host.mjs";

const { ADMIN, SCREENSHOTS } = process.env;

const browser = await launch();

try {
  const page = await browser.newPage({ viewport: { width: 1400, height: 1000 } });
  page.setDefaultTimeout(60_000);
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  const times = {};
  /** Does something, and waits for what it shows. */
  const step = async (name, act, ...shown) => {
    const began = performance.now();
    await act();
    for (const [selector, hasText] of shown) await page.locator(selector, { hasText }).first().waitFor();
    times[name] = Math.round(performance.now() - began);
  };
  const key = (k) => () => page.keyboard.press(k);

  await step("page and list", () => page.goto(ADMIN), ["#range", "1–100 of 100,000"], ["#classes .card", "100,000"]);
  assert.equal(await page.locator("#rows tr").count(), 100);
  await step("next page", key("n"), ["#range", "101–200 of 100,000"]);
  await step("previous page", key("p"), ["#range", "1–100 of 100,000"]);
  await step("search", async () => {
    await page.keyboard.press("/");
    await page.keyboard.type("object 099999");
  }, ["#range", "1–1 of 1"], ["#rows td", "object 099999"]);
  await step("open", key("Enter"), ["#object h2", "object 099999"]);
  await step("timeline", key("2"), ["#object td", "wake"]);
  await page.screenshot({ path: `${SCREENSHOTS}/one.png` });
  await key("Escape")();
  await page.locator("#object").waitFor({ state: "hidden" });
  await step("search that finds many", async () => {
    await page.keyboard.press("/");
    await page.keyboard.press("Control+A");
    await page.keyboard.type("object 09");
  }, ["#range", "1–100 of 10,000"]);
  await step("filter by state", () => page.selectOption("#state", "hibernated"), ["#range", "no objects"]);
  await page.selectOption("#state", "idle");
  await page.locator("#range", { hasText: "of 10,000" }).waitFor();
  await page.locator("#search").fill("");
  await page.locator("#range", { hasText: "of 100,000" }).waitFor();

  // The counts are live.
  await step("one more is counted", () => fetch(`${ADMIN}/wake-another`, { method: "POST" }), ["#classes .card", "100,001"]);

  // By keys alone, down the list; each is drawn before the next is pressed.
  await page.locator("#search").blur();
  await step("fifty times down", async () => {
    for (let i = 0; i < 50; i++) await page.keyboard.press("j");
  }, ['#rows tr[aria-selected="true"]', /./]);
  assert.equal(await page.locator("#rows tr").evaluateAll((rows) => rows.findIndex((r) => r.getAttribute("aria-selected") === "true")), 49);
  await page.screenshot({ path: `${SCREENSHOTS}/list.png` });

  // What the server took, as the browser has seen it: the worst of each path.
  for (const { name, duration } of await page.evaluate(() => performance.getEntriesByType("resource").map(({ name, duration }) => ({ name, duration })))) {
    const { pathname } = new URL(name);
    if (/^\/(api\/(objects|classes)|readyz)$/.test(pathname)) times[pathname] = Math.max(times[pathname] ?? 0, Math.round(duration));
  }
  assert.deepEqual(complaints, []);
  writeFileSync(`${SCREENSHOTS}/times.json`, JSON.stringify(times));
} finally {
  await browser.close();
  finish();
}
