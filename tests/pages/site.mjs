// Opens the pages of a site in Chromium as readers do, and looks for what would trouble them.
//
//     node site.mjs OUT SITE
//
// Some pages of each kind at phone, tablet and desk width, light and dark: no error, no request but
// for the page itself, nothing wider than the screen, nothing that axe-core finds, the keyboard's first step. And every link of
// every page leads to a file of the site, and to a place in it. Screenshots go to OUT.

import { mkdir, readFile, readdir } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

// The modules are not installed beside this file but where it is run.
const require = createRequire(path.join(process.cwd(), "package.json"));
const puppeteer = require("puppeteer-core");
const axe = await readFile(require.resolve("axe-core/axe.min.js"), "utf8");

const [out, site] = process.argv.slice(2).map((given) => path.resolve(given));
const problems = [];
const say = (page, what) => {
  problems.push(`${page}: ${what}`);
  console.error(`${page}: ${what}`);
};

await mkdir(out, { recursive: true });
const all = (await readdir(site, { recursive: true })).filter((name) => name.endsWith(".html")).sort();
const some = (dir) => all.filter((name) => name.startsWith(`${dir}/`)).slice(0, 2);
const pages = [...all.filter((name) => !name.includes("/")), ...some("models"), ...some("targets"), ...some("runs").slice(0, 1)];

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"],
  protocolTimeout: 300_000,
});

for (const name of pages) {
  const address = pathToFileURL(path.join(site, name)).href;
  for (const [width, height] of [[390, 844], [820, 1180], [1440, 900]]) {
    // Colours do not depend on the width.
    for (const scheme of width === 1440 ? ["light", "dark"] : ["light"]) {
      const view = `${name.replaceAll("/", "-").replace(".html", "")}-${width}-${scheme}`;
      const page = await browser.newPage();
      await page.setViewport({ width, height, isMobile: width < 600, hasTouch: width < 600 });
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      page.on("console", (message) => ["error", "warning", "warn"].includes(message.type()) && say(view, message.text()));
      page.on("pageerror", (error) => say(view, `${error}`));
      page.on("request", (request) => {
        if (request.url() !== address && !request.url().startsWith("data:")) say(view, `asks for ${request.url()}`);
      });
      await page.goto(address, { waitUntil: "load", timeout: 120_000 });
      // Not innerWidth: on a phone it grows with what is too wide.
      const wide = (await page.evaluate(() => document.documentElement.scrollWidth)) - width;
      if (wide > 0) say(view, `is ${wide} px wider than the screen`);
      await page.screenshot({ path: path.join(out, `${view}.png`) });
      if (scheme === "light") await page.screenshot({ path: path.join(out, `${view}-whole.png`), clip: await box(page) });
      // A list of a thousand runs is alike from the first to the last.
      await page.evaluate(() => {
        document.querySelectorAll("tbody").forEach((body) => [...body.rows].slice(60).forEach((row) => row.remove()));
        document.querySelectorAll("details").forEach((details) => (details.open = true));
      });
      await page.evaluate(axe);
      const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
      for (const violation of found.violations) {
        say(view, `axe: ${violation.impact}: ${violation.id}: ${violation.help}: ${violation.nodes[0].html.slice(0, 200)} (${violation.nodes.length})`);
      }
      if (scheme === "light" && !name.startsWith("runs/")) {
        await page.keyboard.press("Tab");
        const first = await page.evaluate(() => document.activeElement?.className);
        if (first !== "skip") say(view, `the first Tab leads to ${first}, not to the link that skips to the content`);
      }
      await page.close();
    }
  }
}
await browser.close();

async function box(page) {
  const [width, height] = await page.evaluate(() => [innerWidth, document.documentElement.scrollHeight]);
  return { x: 0, y: 0, width, height: Math.min(height, 5000) };
}

// Links, read from the text: those of runs are all alike.
const ids = new Map();
const places = async (file) => {
  if (!ids.has(file)) {
    const text = await readFile(path.join(site, file), "utf8").catch(() => null);
    ids.set(file, text === null ? null : new Set([...text.matchAll(/ id="([^"]*)"/g)].map((match) => match[1])));
  }
  return ids.get(file);
};
let links = 0;
for (const name of all.filter((name) => !name.startsWith("runs/")).concat(some("runs"))) {
  const text = await readFile(path.join(site, name), "utf8");
  for (const [, href] of text.matchAll(/<a [^>]*href="([^"]*)"/g)) {
    if (href.startsWith("data:") || (name.startsWith("runs/") && href.startsWith("#"))) continue;
    links += 1;
    const [file, place] = href.replace(/\?[^#]*/, "").split("#");
    const target = file ? path.normalize(path.join(path.dirname(name), file)) : name;
    if (!target.endsWith(".html")) {
      await readFile(path.join(site, target)).catch(() => say(name, `a link leads nowhere: ${href}`));
      continue;
    }
    const known = await places(target);
    if (known === null) say(name, `a link leads nowhere: ${href}`);
    else if (place && !known.has(place)) say(name, `a link leads to no place: ${href}`);
  }
}
console.log(`${pages.length} pages at three widths, ${links} links of ${all.length} pages`);
if (problems.length) {
  console.error(`${problems.length} problems`);
  process.exit(1);
}
