// Drives Chromium for the tests of the kiosk page: answers each line of JSON on standard input with one. Argument: Chromium's path.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

import { chromium } from "playwright-core";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WAIT = 20_000;

// Whoever runs the gate may be root, for whom Chromium has no sandbox.
const browser = await chromium.launch({ executablePath: process.argv[2], args: ["--no-sandbox", "--disable-gpu"] });
let page = null;
let problems = [];

/** A page of its own, which notes everything that a browser complains about. */
async function open({ url, width, height, scheme = "light" }) {
  await page?.context().close();
  problems = [];
  // Axe is put into the page from outside, past the policy that is tested; so the policy is watched in a context that keeps it.
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, timezoneId: "UTC" });
  page = await context.newPage();
  page.setDefaultTimeout(WAIT);
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) problems.push(`console: ${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => problems.push(`script: ${error}`));
  await page.exposeFunction("noteProblem", (text) => problems.push(text));
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) =>
      noteProblem(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`),
    );
  });
  await page.goto(url);
  return page.url();
}

/** What is on the screen and breaks a rule of size: in CSS pixels. */
function measure({ target, letter, title }) {
  const seen = (element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest(".unseen");
  const name = (element) => `${element.tagName.toLowerCase()}${element.id && `#${element.id}`} ${element.textContent.trim().slice(0, 30)}`;
  const modal = document.querySelector("dialog[open]");
  const all = [...(modal ?? document.body).querySelectorAll("*")].filter(seen);
  const faults = [];
  for (const element of all) {
    const box = element.getBoundingClientRect();
    if (element.matches("button, input, a, [tabindex='0']") && (box.width < target || box.height < target))
      faults.push(`target ${box.width}x${box.height}: ${name(element)}`);
    if (box.right > innerWidth + 1 || box.bottom > innerHeight + 1 || box.left < -1 || box.top < -1)
      faults.push(`outside: ${name(element)} ${JSON.stringify(box)}`);
    if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0 && getComputedStyle(element).display !== "inline")
      faults.push(`cut off: ${name(element)}`);
    const words = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    const size = parseFloat(getComputedStyle(element).fontSize);
    if (words && size < letter) faults.push(`letters of ${size}px: ${name(element)}`);
    if (element.matches("h1, #clock, #code span") && size < title) faults.push(`main letters of ${size}px: ${name(element)}`);
  }
  const buttons = all.filter((element) => element.matches("button"));
  for (const [index, one] of buttons.entries())
    for (const other of buttons.slice(index + 1)) {
      const [a, b] = [one.getBoundingClientRect(), other.getBoundingClientRect()];
      if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
        faults.push(`one above the other: ${name(one)}, ${name(other)}`);
    }
  return faults;
}

async function violations() {
  // Evaluated by the debugger, not by the page: the policy has nothing to say about it.
  await page.evaluate(axe);
  const result = await page.evaluate(() => axe.run(document, { resultTypes: ["violations", "incomplete"] }));
  return result.violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html.slice(0, 160)).join(" | ")}`);
}

/** Whether any string that scripts can reach, or could until the next collection of garbage, has this text. */
async function remembers(text) {
  const debug = await page.context().newCDPSession(page);
  const pieces = [];
  debug.on("HeapProfiler.addHeapSnapshotChunk", ({ chunk }) => pieces.push(chunk));
  await debug.send("HeapProfiler.collectGarbage");
  await debug.send("HeapProfiler.takeHeapSnapshot", { reportProgress: false });
  await debug.detach();
  return pieces.join("").includes(text);
}

const commands = {
  open,
  wait: (selector) => page.waitForSelector(selector).then(() => true),
  click: (selector) => page.click(selector).then(() => true),
  press: (key) => page.keyboard.press(key).then(() => true),
  type: (text) => page.keyboard.type(text).then(() => true),
  text: (selector) => page.innerText(selector),
  evaluate: (script) => page.evaluate(script),
  reload: () => page.reload().then(() => true),
  shot: (path) => page.screenshot({ path }).then(() => true),
  address: () => page.url(),
  html: () => page.content(),
  measure: (rules) => page.evaluate(measure, rules),
  violations,
  remembers,
  problems: () => problems.splice(0),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [[name, argument]] = Object.entries(JSON.parse(line));
  let answer;
  try {
    answer = { value: (await commands[name](argument)) ?? null };
  } catch (fault) {
    answer = { fault: String(fault) };
  }
  console.log(JSON.stringify(answer));
}
await browser.close();
