// The page on the admin address, open all the time: for each line it is given,
// {"ready", "text", "logged"}, it answers when the page shows that, in its state,
// among the problems and in its log.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

// Not by host.mjs, which reads the same input.
const { chromium } = createRequire(new URL("../../../tools/package.json", import.meta.url))("playwright-core");
const { ADMIN, SCREENSHOTS, CHROMIUM } = process.env;

const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
process.once("SIGINT", () => browser.close());

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
