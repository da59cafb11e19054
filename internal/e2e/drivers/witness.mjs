// The page on the admin address, open all the time: for each line it is given,
// {"ready", "text", "logged"}, it answers when the page shows that, in its state,
// among the problems and in its log.
import { createInterface } from "node:readline";
import { launch } from "./chromium.mjs"; // without host.mjs, which reads the same input

const { ADMIN, SCREENSHOTS } = process.env;

const browser = await launch();

try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  page.setDefaultTimeout(60_000);
  await page.goto(ADMIN);
  await page.waitForSelector("#health[data-ready]");
  process.stdout.write('{"open":true}\n');
  let n = 0;
  for await (const line of createInterface({ input: process.stdin })) {
    const { ready, text, logged } = JSON.parse(line);
    await page.waitForSelector(`#health[data-ready="${ready}"]`);
    if (text !== "") await page.locator("#problems li", { hasText: text }).first().waitFor();
    await page.locator("#log li", { hasText: logged }).first().waitFor();
    await page.screenshot({ path: `${SCREENSHOTS}/${++n}.png` });
    process.stdout.write('{"seen":true}\n');
  }
} finally {
  await browser.close();
  process.stdin.destroy();
}
