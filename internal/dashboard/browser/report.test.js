// The page of `limpet bench --html` in a real browser: it needs no network,
// draws every chart, and fits a phone.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const screenshots = process.env.SCREENSHOTS;
const result = join(mkdtempSync(join(tmpdir(), "limpet-report-")), "echo.html");
let browser;

before(async () => {
  // Six servers, as many as the results of the project show beside each other.
  const servers = Array(6).fill("limpet").join(",");
  execFileSync(process.env.LIMPET ?? "limpet",
    ["bench", "echo", `--spawn=${servers}`, "--conns=10", "--duration=300ms", "--warmup=100ms", "--msg-rate=200", `--html=${result}`],
    { stdio: "ignore" });
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
}, { timeout: 120_000 });
after(() => browser?.close());

for (const colorScheme of ["light", "dark"]) {
  for (const width of [375, 800, 1440]) {
    test(`the report of a benchmark: ${colorScheme}, ${width} wide`, async (t) => {
      const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 } });
      t.after(() => context.close());
      const page = await context.newPage();
      const faults = [], elsewhere = [];
      page.on("pageerror", (e) => faults.push(e.message));
      page.on("request", (r) => { if (!/^(file|data):/.test(r.url())) elsewhere.push(r.url()); });
      await page.goto(pathToFileURL(result).href);
      await page.waitForFunction(() => [...document.querySelectorAll(".chart")].every((c) => c.querySelector("canvas")));
      if (screenshots) {
        mkdirSync(screenshots, { recursive: true });
        await page.screenshot({ path: `${screenshots}/report-${colorScheme}-${width}.png`, fullPage: true });
      }
      assert.deepEqual([faults, elsewhere], [[], []]);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "no sideways scrolling");
      const spilt = await page.evaluate(() => [...document.querySelectorAll(".card *")].filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent));
      assert.deepEqual(spilt, [], "each figure is within its card");
    });
  }
}
