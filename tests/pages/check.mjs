// Opens pages in Chromium as readers do, and looks for what would trouble them.
//
//     node check.mjs OUT PAGE.html...
//
// Each page at phone and desk width, light and dark: no error, no request, nothing that is wider than the screen, nothing
// that axe-core calls serious, nothing that a hostile transcript ran. Then, once: time to open, frames while scrolling,
// links to events, search, folding, the keyboard, and the page without JavaScript. Screenshots and figures go to OUT.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

// The modules are not installed beside this file but where it is run.
const require = createRequire(path.join(process.cwd(), "package.json"));
const puppeteer = require("puppeteer-core");
const axe = await readFile(require.resolve("axe-core/axe.min.js"), "utf8");

const [out, ...pages] = process.argv.slice(2);
const OPEN_MS = 2000;
// What a page may need of a frame while it scrolls: script, style and layout. How long frames take altogether depends on
// what else the machine does, so it is reported and not judged.
const FRAME_MS = 16;
const problems = [];
const figures = {};
const say = (page, what) => {
  problems.push(`${page}: ${what}`);
  console.error(`${page}: ${what}`);
};

await mkdir(out, { recursive: true });
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"],
  protocolTimeout: 300_000,
});

async function open(file, { width = 1440, height = 900, scheme = "light", script = true, hash = "" } = {}) {
  const name = path.basename(file, ".html");
  const page = await browser.newPage();
  await page.setViewport({ width, height, isMobile: width < 600, hasTouch: width < 600 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await page.setJavaScriptEnabled(script);
  page.on("console", (message) => ["error", "warning", "warn"].includes(message.type()) && say(name, message.text()));
  page.on("pageerror", (error) => say(name, `${error}`));
  page.on("dialog", (dialog) => say(name, `a dialog: ${dialog.message()}`));
  const address = pathToFileURL(path.resolve(file)).href;
  page.on("request", (request) => {
    if (request.url().split("#")[0] !== address && !request.url().startsWith("data:")) say(name, `asks for ${request.url()}`);
  });
  await page.goto(address + hash, { waitUntil: "load", timeout: 120_000 });
  return { page, name };
}

const settle = (page) => page.evaluate(() => new Promise((done) => setTimeout(done, 400)));

for (const file of pages) {
  for (const width of [390, 1440]) {
    for (const scheme of ["light", "dark"]) {
      const { page, name } = await open(file, { width, height: width < 600 ? 844 : 900, scheme });
      const view = `${name}-${width}-${scheme}`;
      // Not innerWidth: on a phone it grows with what is too wide.
      const state = await page.evaluate(
        (width) => ({
          title: document.title,
          wide: document.documentElement.scrollWidth - width,
          policy: document.querySelector("meta[http-equiv]")?.content ?? "",
        }),
        width,
      );
      if (/pwned/.test(state.title.split(":")[0])) say(view, "a transcript ran a script");
      if (state.wide > 0) say(view, `is ${state.wide} px wider than the screen`);
      if (!state.policy.startsWith("default-src 'none'") || state.policy.includes("unsafe")) say(view, "has a lax policy");
      await page.screenshot({ path: path.join(out, `${view}-top.png`) });
      await page.evaluate(() => document.querySelector("#score")?.scrollIntoView());
      await settle(page);
      await page.screenshot({ path: path.join(out, `${view}-score.png`) });
      await page.evaluate(() => document.querySelector("#transcript")?.scrollIntoView());
      await settle(page);
      await page.screenshot({ path: path.join(out, `${view}-transcript.png`) });
      // What is out of sight is laid out as well, but of a long transcript the beginning tells enough.
      await page.evaluate(() => {
        [...document.querySelectorAll("#transcript > .part")].slice(2).forEach((part) => part.remove());
        document.querySelectorAll("details").forEach((details) => (details.open = true));
        document.querySelectorAll(".step").forEach((step) => (step.style.contentVisibility = "visible"));
      });
      await settle(page);
      const wide = await page.evaluate((width) => document.documentElement.scrollWidth - width, width);
      if (wide > 0) say(view, `is ${wide} px wider than the screen when all is unfolded`);
      // By the debugger's hand: the page's own policy runs no script but its own.
      await page.evaluate(axe);
      const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
      for (const violation of found.violations) {
        say(view, `axe: ${violation.impact}: ${violation.id}: ${violation.help}: ${violation.nodes[0].html.slice(0, 200)} (${violation.nodes.length})`);
      }
      await page.close();
    }
  }

  const name = path.basename(file, ".html");
  // The best of five openings, each in a page of its own: what the page needs, not what the machine did meanwhile.
  const times = [];
  for (let round = 0; round < 5; round += 1) {
    const { page } = await open(file);
    times.push(
      await page.evaluate(() => {
        const [navigation] = performance.getEntriesByType("navigation");
        const paint = performance.getEntriesByName("first-contentful-paint")[0];
        return { load: navigation.loadEventEnd, paint: paint?.startTime ?? 0 };
      }),
    );
    await page.close();
  }
  times.sort((one, other) => one.load - other.load);
  const { page } = await open(file);
  await page.bringToFront();
  const work = async () => {
    const metrics = await page.metrics();
    return 1000 * (metrics.ScriptDuration + metrics.LayoutDuration + metrics.RecalcStyleDuration);
  };
  const before = await work();
  const scroll = await page.evaluate(async () => {
    const frames = [];
    const end = Math.min(document.documentElement.scrollHeight, 200_000);
    let last = performance.now();
    for (let at = 0; at < end; at += 160) {
      window.scrollTo(0, at);
      await new Promise(requestAnimationFrame);
      const now = performance.now();
      frames.push(now - last);
      last = now;
    }
    frames.sort((one, other) => one - other);
    const share = (part) => Math.round(frames[Math.min(frames.length - 1, Math.floor(frames.length * part))] * 10) / 10;
    return { frames: frames.length, median: share(0.5), p95: share(0.95), p99: share(0.99), worst: share(1) };
  });
  scroll.work = Math.round(((await work()) - before) / scroll.frames * 100) / 100;
  // A jump into the middle.
  const jump = await page.evaluate(async () => {
    const parts = document.querySelectorAll("#transcript > .part");
    const middle = parts[Math.floor(parts.length / 2)].dataset.first;
    const begun = performance.now();
    location.hash = `#e${middle}`;
    for (let look = 0; look < 200; look += 1) {
      await new Promise(requestAnimationFrame);
      const box = document.getElementById(`e${middle}`)?.getBoundingClientRect();
      if (box && box.top >= -5 && box.top < innerHeight) return { event: +middle, milliseconds: Math.round(performance.now() - begun) };
    }
    return { event: +middle, milliseconds: null };
  });
  if (jump.milliseconds === null) say(name, `a link to event ${jump.event} leads nowhere`);
  const searched = await page.evaluate(async () => {
    const words = document.querySelector(".part:last-of-type") ? "the" : "a";
    const query = document.getElementById("query");
    const found = document.getElementById("found");
    query.value = words;
    const begun = performance.now();
    query.dispatchEvent(new Event("input"));
    for (let look = 0; look < 1200; look += 1) {
      await new Promise((done) => setTimeout(done, 25));
      if (/ of |none/.test(found.textContent)) return { says: found.textContent, milliseconds: Math.round(performance.now() - begun) };
    }
    return { says: found.textContent, milliseconds: null };
  });
  if (searched.milliseconds === null) say(name, `a search does not end: ${searched.says}`);
  await page.screenshot({ path: path.join(out, `${name}-search.png`) });
  const folded = await page.evaluate(() => {
    document.getElementById("fold").click();
    const open = document.querySelectorAll(".step > details[open]").length;
    document.getElementById("unfold").click();
    return { open, again: document.querySelectorAll(".step > details[open]").length };
  });
  if (folded.open !== 0 || folded.again === 0) say(name, `folding leaves ${folded.open} open, unfolding ${folded.again}`);
  await page.close();

  const keys = await open(file);
  await keys.page.keyboard.press("Tab");
  const first = await keys.page.evaluate(() => document.activeElement?.className);
  if (first !== "skip") say(name, `the first Tab leads to ${first}, not to the link that skips to the transcript`);
  await keys.page.close();

  const bare = await open(file, { script: false });
  await bare.page.screenshot({ path: path.join(out, `${name}-no-script.png`) });
  await bare.page.close();

  figures[name] = { ...times[0], scroll, jump, searched };
  console.log(name, JSON.stringify(figures[name]));
  if (times[0].load > OPEN_MS) say(name, `opens in ${Math.round(times[0].load)} ms, more than ${OPEN_MS}`);
  if (scroll.work > FRAME_MS) say(name, `a frame needs ${scroll.work} ms while scrolling, more than ${FRAME_MS}`);
}
await browser.close();
await writeFile(path.join(out, "figures.json"), `${JSON.stringify(figures, null, 2)}\n`);
if (problems.length) {
  console.error(`${problems.length} problems`);
  process.exit(1);
}
