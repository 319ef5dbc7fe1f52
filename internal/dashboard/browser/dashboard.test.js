// The dashboard in a real browser, against a real gateway: `make test-browser`.
// LIMPET is the binary, CHROMIUM the browser, SCREENSHOTS a folder to fill.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import WebSocket from "ws";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const screenshots = process.env.SCREENSHOTS;
const patience = 60_000; // ms

let browser, gateway;
const children = [];

// start runs a gateway on free ports until the tests end.
function start(...flags) {
  const child = spawn(process.env.LIMPET ?? "limpet",
    ["serve", "--listen=127.0.0.1:0", "--api=127.0.0.1:0", "--node=browser-test", "--log-format=json", ...flags],
    { stdio: ["ignore", "ignore", "pipe"] });
  children.push(child);
  return new Promise((done, failed) => {
    child.once("exit", () => failed(new Error("the gateway ended")));
    createInterface({ input: child.stderr }).on("line", (line) => {
      const record = JSON.parse(line);
      if (record.msg === "serving") done({ child, api: `http://${record.api}`, listen: record.listen });
    });
  });
}

before(async () => {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  gateway = await start();
}, { timeout: 60_000 });
after(async () => {
  for (const child of children) child.kill("SIGKILL");
  await browser?.close();
});

// open shows the dashboard and collects what goes wrong in the page.
async function open(t, from = gateway, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  const faults = [], elsewhere = [];
  page.on("pageerror", (e) => faults.push(e.message));
  page.on("console", (m) => { if (m.type() === "error") faults.push(m.text()); });
  page.on("request", (r) => { if (!r.url().startsWith(from.api) && !r.url().startsWith("data:")) elsewhere.push(r.url()); });
  t.after(() => context.close());
  await page.goto(from.api);
  return { page, faults, elsewhere };
}

const client = async (name) => {
  const socket = new WebSocket(`ws://${gateway.listen}/ws?id=${name}`);
  await once(socket, "open");
  return socket;
};
// calm waits until nothing is wrong, but with the machine on which this runs.
const calm = (page) => page.waitForFunction(() => {
  const left = [...document.querySelectorAll("#problems li")].map((li) => li.textContent).filter((t) => !/(of the|on this) host|Overloaded/.test(t));
  return left.length === 0 || left[0] === "Nothing is wrong.";
});
const text = (page, id, want) => page.waitForFunction(([id, want]) => new RegExp(want).test(document.getElementById(id).textContent), [id, want]);

test("a connection appears, and goes", async (t) => {
  const { page, faults, elsewhere } = await open(t);
  await text(page, "status", "^ready$");
  await text(page, "node", "browser-test, version");
  await text(page, "sessions", "^0$");
  const a = await client("dev1"), b = await client("dev2");
  await text(page, "sessions", "^2$");
  await text(page, "c-sessions-t", "Live connections");
  await page.waitForFunction(() => document.getElementById("c-sessions").getAttribute("aria-label").includes("sessions 2"));
  a.close(1000);
  b.close(1000);
  await text(page, "sessions", "^0$");
  await text(page, "closes", "peer closed[0-9.]+2$");
  await text(page, "nodes", "browser-testthis one0");
  await text(page, "overload", "^(normal|shrink|drop low)$");
  await text(page, "redis-state", "^none$");
  await calm(page);
  assert.equal(await page.locator("canvas").count(), 6, "six charts");
  assert.deepEqual(faults, []);
  assert.deepEqual(elsewhere, [], "nothing is loaded from elsewhere");
});

test("a principal is found, gets a message and is disconnected", async (t) => {
  const { page } = await open(t);
  const socket = await client("site/dev3");
  const received = once(socket, "message"), closed = once(socket, "close");
  await page.getByLabel("Principal, or session id").fill("site/dev3");
  await page.getByRole("button", { name: "Find" }).click();
  await page.getByLabel("Message to site/dev3").fill("hello <b>device</b>");
  await page.getByRole("button", { name: "Push" }).click();
  assert.equal((await received)[0].toString(), "hello <b>device</b>");
  await text(page, "did", "delivered: 1 session on this node");
  await page.getByRole("button", { name: /Disconnect session [0-9a-f]{32}/ }).click();
  assert.equal((await closed)[0], 4002);
  await page.getByLabel("Principal, or session id").fill("nobody");
  await page.getByRole("button", { name: "Find" }).click();
  await text(page, "did", "nobody has no session");
});

test("a newcomer is a client within a minute", async (t) => {
  const echo = await start("--uplink=echo");
  const { page, faults } = await open(t, echo);
  await page.getByLabel("Connect as").fill("me");
  await page.keyboard.press("Enter");
  await text(page, "log", "connected as me");
  await page.keyboard.type("hi <i>there</i>"); // the field has the focus
  await page.keyboard.press("Enter");
  await text(page, "log", "> hi <i>there</i>< hi <i>there</i>");
  await text(page, "messages", "/s");
  await page.getByRole("button", { name: "Disconnect" }).click();
  await text(page, "log", "closed with 1000");
  assert.equal(await page.locator("#log i").count(), 0, "text stays text");
  assert.deepEqual(faults, []);
});

// Somebody who looks at night sees what is wrong first, in words.
test("what is wrong is said at the top", async (t) => {
  const full = await start("--uplink=discard", "--max-conns=16");
  const { page, faults } = await open(t, full);
  await calm(page);
  const [host, port] = full.listen.split(":");
  const scan = connect(Number(port), host);
  await once(scan, "connect");
  scan.destroy();
  await text(page, "refusals", "left before an answer1");
  const sockets = [];
  for (let i = 0; i < 16; i++) {
    const socket = new WebSocket(`ws://${full.listen}/ws?id=dev${i}`);
    await once(socket, "open");
    sockets.push(socket);
  }
  await text(page, "problems", "Mind: 16 of 16 connections are taken");
  const refused = new WebSocket(`ws://${full.listen}/ws?id=onemore`);
  await once(refused, "error");
  await text(page, "problems", "Bad: Newcomers are refused: there is no room .*Mind: 16 of 16"); // the worst first
  assert.match(await page.title(), /^! /);
  await text(page, "refusals", "limit1");
  sockets.forEach((s) => s.close(1000));
  await calm(page);
  assert.deepEqual(faults, []);
});

test("Redis is shown, and told when it goes away", async (t) => {
  const port = 20_000 + Math.floor(Math.random() * 10_000);
  const redis = spawn("redis-server", ["--port", port, "--bind", "127.0.0.1", "--save", ""], { stdio: "ignore" });
  children.push(redis);
  const node = await start("--uplink=discard", `--redis=redis://127.0.0.1:${port}`);
  const { page, faults } = await open(t, node);
  await text(page, "redis-state", "^joined$");
  await text(page, "redis", "age of the lease[0-9.]+ m?s of 10 s");
  redis.kill("SIGKILL");
  await text(page, "redis-state", "^degraded$");
  await text(page, "problems", "Bad: redis: degraded");
  assert.deepEqual(faults, []);
});

test("a gateway that goes away is told, and one that comes back", async (t) => {
  const other = await start("--uplink=discard");
  const { page } = await open(t, other);
  await text(page, "status", "^ready$");
  other.child.kill("SIGKILL");
  await text(page, "status", "^lost; the gateway does not answer$");
  await text(page, "problems", "^Bad: The gateway does not answer");
  await start("--uplink=discard", `--api=${new URL(other.api).host}`);
  await text(page, "status", "^ready$");
});

test("a gateway that has too many viewers says so", async (t) => {
  const watched = await start("--uplink=discard");
  const enough = new AbortController();
  t.after(() => enough.abort());
  for (let i = 0; i < 16; i++) assert.equal((await fetch(`${watched.api}/v1/live`, { signal: enough.signal })).status, 200);
  const { page } = await open(t, watched);
  await text(page, "status", "^lost; the gateway says: 16 watch already$");
  await text(page, "problems", "^Bad: The gateway says: 16 watch already");
  enough.abort();
  await text(page, "status", "^ready$");
});

test("Kafka that does not answer is not called idle", async (t) => {
  const broker = await start();
  const [address] = (await (await fetch(`${broker.api}/v1/info`)).json()).kafka;
  const node = await start(`--kafka=${address}`, "--node=beside");
  const { page } = await open(t, node);
  await text(page, "produce", "^idle$");
  broker.child.kill("SIGKILL");
  const socket = new WebSocket(`ws://${node.listen}/ws?id=dev1`);
  await once(socket, "open");
  socket.send("waits");
  await text(page, "produce", "^no answer$");
  await text(page, "problems", "Bad: kafka: does not answer");
  socket.close();
});

test("a token is asked for", async (t) => {
  const guarded = await start("--uplink=discard", "--api-token=0123456789abcdef0123456789abcdef");
  const { page } = await open(t, guarded);
  let begun = 0;
  const streams = new Set();
  page.on("response", (r) => { if (r.url().endsWith("/v1/live") && r.ok()) { begun++; streams.add(r.request()); } });
  for (const ended of ["requestfailed", "requestfinished"]) page.on(ended, (r) => streams.delete(r));
  const use = async (token) => {
    await page.getByLabel("This gateway asks for the token of its API").fill(token);
    await page.getByRole("button", { name: "Use it" }).click();
  };
  await text(page, "status", "^lost; a token is needed$");
  await page.keyboard.type("fedcba9876543210"); // it can be typed at once
  await page.keyboard.press("Enter");
  await text(page, "status", "^lost; the token is not the right one$");
  await use("0123456789abcdef0123456789abcdef");
  await text(page, "status", "^ready$");
  // A token that is changed while the page is open is asked for again: one
  // stream is shown, not both.
  await page.evaluate(() => { document.getElementById("token-form").hidden = false; });
  await use("0123456789abcdef0123456789abcdef");
  for (const until = Date.now() + patience; Date.now() < until && !(begun === 2 && streams.size === 1);) await page.waitForTimeout(100);
  assert.deepEqual([begun, streams.size], [2, 1], "streams that were begun, and that are open");
  await text(page, "status", "^ready$");
});

for (const colorScheme of ["light", "dark"]) {
  for (const [width, height] of [[375, 812], [800, 1180], [1440, 900]]) {
    test(`accessible and without overflow: ${colorScheme}, ${width} wide`, async (t) => {
      const longest = "device-" + "8".repeat(121); // a principal has at most 128 characters
      const sockets = [await client(longest), await client("dev9")];
      const { page } = await open(t, gateway, { colorScheme, viewport: { width, height } });
      await page.getByLabel("Principal, or session id").fill(longest);
      await page.getByRole("button", { name: "Find" }).click();
      await page.getByLabel(`Message to ${longest}`).waitFor();
      await page.getByRole("button", { name: "Connect", exact: true }).click();
      await text(page, "log", "connected as browser");
      for (let i = 0; i < 2; i++) {
        sockets[0].send("x".repeat(40));
        await page.waitForTimeout(1000); // so that the charts have something to show
      }
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
      const serious = violations.filter((v) => ["serious", "critical"].includes(v.impact));
      assert.deepEqual(serious.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" | ")}`), []);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "no sideways scrolling");
      if (screenshots) {
        mkdirSync(screenshots, { recursive: true });
        await page.screenshot({ path: `${screenshots}/${colorScheme}-${width}.png`, fullPage: true });
      }
      sockets.forEach((s) => s.close());
    });
  }
}
