// A real browser that talks to nobody but the server under test.
import { createRequire } from "node:module";

/** Starts it; an interrupt closes it with its driver. */
export async function launch() {
  const { chromium } = createRequire(new URL("../../../tools/package.json", import.meta.url))("playwright-core");
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: [
      "--no-sandbox", // containers run this as root
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  process.once("SIGINT", () => browser.close());
  return browser;
}
