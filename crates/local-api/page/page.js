// What is on the screen. The service decides; this draws what it says, and lets a person act.

import * as service from "/service.js";

const LOCALES = { EN: "en-GB", ES: "es" };
const LANGUAGES = Object.keys(LOCALES);
/** Shorter than this many seconds, the time left is urgent. */
const URGENT = 60;
/** When a screen reader is told how much time is left, in seconds. */
const TOLD = [300, 60, 30, 10];
/** How often the page looks whether it still shows what is true, and how long it waits before it tries again, in ms. */
const LOOK = 10_000;
const PAUSE = 1_000;
const DAY = 86_400_000;
const WARN_DAYS = 30;

const root = document.documentElement;
const at = (id) => document.getElementById(id);
const configured = root.dataset.language;
const catalogues = {};

let language = null;
/** The view on the screen, and what the service said last. */
let shown = "loading";
let report = null;
/** The open session: when it ends by this page's own clock, and how long it had when it was first seen. */
let session = null;
/** Whether the QR code on the screen may be that of an earlier session. */
let stale = true;
/** When a question to a person ends. */
let asked = null;
let expired = false;

// Words

function say(name, values = {}) {
  const text = catalogues[language]?.[name] ?? "";
  return text.replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

/** What, why and next of a code, in the screen's language. */
function failureTexts(code) {
  const { errors } = catalogues[language];
  return errors[code] ?? errors.UnknownError;
}

function speak(wanted) {
  const next = LANGUAGES.includes(wanted) ? wanted : "EN";
  if (next === language) return;
  language = next;
  root.lang = language.toLowerCase();
  document.title = say("title");
  for (const place of document.querySelectorAll("[data-text]")) place.textContent = say(place.dataset.text);
  for (const place of document.querySelectorAll("[data-label]")) place.setAttribute("aria-label", say(place.dataset.label));
  for (const place of at("phases").children) place.textContent = catalogues[language].phases[place.dataset.phase];
}

/** Tells a screen reader; the same words again are told again. */
function announce(text) {
  at("announce").textContent = "";
  requestAnimationFrame(() => {
    at("announce").textContent = text;
  });
}

// Views

const VIEWS = {
  UNPROVISIONED: () => (expired ? "expired" : "idle"),
  READY_TO_PAIR: () => "ready",
  PAIRING_RECEIVED: () => (report.confirmation ? "confirm" : "checking"),
  PROVISIONED: () => "provisioned",
  PROVISIONING_FAILED: () => "failed",
  DEPROVISIONED: () => "deprovisioned",
};

function show(view) {
  if (view === shown) return;
  at(shown).hidden = true;
  at(view).hidden = false;
  shown = view;
  tell(null);
  if (view !== "ready") forget();
  if (view !== "provisioned") closePin();
  const title = at(`${view}-title`);
  // Whoever uses the keyboard goes on where the new view begins.
  const held = document.activeElement;
  if (held === document.body || !held.checkVisibility()) {
    title.tabIndex = -1;
    title.focus({ focusVisible: false });
  }
  announce(title.textContent);
}

function draw() {
  speak(report.installed?.settings.language.toUpperCase() ?? configured);
  if (!["UNPROVISIONED", "READY_TO_PAIR"].includes(report.status)) expired = false;
  if (report.installed) drawInstalled(report.installed);
  if (report.failure) drawFailure(report.failure);
  at("warning").textContent = catalogues[language].warnings[report.storageWarning?.code] ?? "";
  drawQuestion(report.confirmation);
  drawPhase(report.phase);
  show(VIEWS[report.status]());
}

function drawInstalled({ settings, certificates }) {
  at("label").textContent = settings.deviceLabel;
  at("server").textContent = settings.serverUrl;
  const end = certificates.client[0].notAfter;
  const days = Math.floor((end - Date.now()) / DAY);
  at("until").textContent = new Intl.DateTimeFormat(LOCALES[language], { dateStyle: "long" }).format(end);
  at("days").textContent = days < 0 ? say("ended") : say("daysLeft", { days });
  at("days").className = days < WARN_DAYS ? "hurry" : "";
}

function drawFailure({ code, message }) {
  const texts = failureTexts(code);
  const english = catalogues.EN.errors[code];
  at("what").textContent = texts.what;
  // The service speaks English alone: elsewhere what it says in particular stands beside the usual cause.
  const particular = message === english?.what ? "" : message;
  at("why").textContent = language === "EN" && particular ? particular : texts.why;
  at("detail").textContent = language === "EN" ? "" : particular;
  at("next").textContent = texts.next;
  at("failure-code").textContent = code;
}

/** A configuration that waits for a person; null leaves nothing of it. */
function drawQuestion(question) {
  const { comparisonValue = "", deviceLabel = "", serverUrl = "", senderAddress = "", expiresInSeconds } = question ?? {};
  spell("number", comparisonValue);
  at("confirm-label").textContent = deviceLabel;
  at("confirm-server").textContent = serverUrl;
  at("confirm-sender").textContent = senderAddress ?? say("byHand");
  asked = question && performance.now() + expiresInSeconds * 1000;
  tick();
}

/** Letters one by one, for eyes and for a screen reader. */
function spell(place, text) {
  const letters = [...text];
  const tile = (letter) => Object.assign(document.createElement("span"), { textContent: letter });
  at(place).replaceChildren(...letters.map(tile));
  at(`${place}-spelt`).textContent = letters.join(" ");
}

function drawPhase(phase) {
  const places = [...at("phases").children];
  // A phase that not every monitor has is on the list once it is there.
  for (const place of places.filter(({ dataset }) => "optional" in dataset))
    if (!phase || place.dataset.phase === phase) place.hidden = !phase;
  const now = places.findIndex((place) => place.dataset.phase === phase);
  places.forEach((place, index) => {
    place.className = index < now ? "done" : index === now ? "now" : "";
    place.toggleAttribute("aria-current", index === now);
  });
  // From here on it cannot be stopped.
  at("checking").querySelector("[data-act=cancel]").hidden = phase === "APPLYING";
}

// The session: picture, code, time

/** The picture and the code of the session that is open now. */
async function drawSession() {
  const [picture, code] = await Promise.all([service.picture(), service.pairingCode()]);
  forget();
  expired = false;
  const image = new Image();
  const url = URL.createObjectURL(new Blob([picture], { type: "image/svg+xml" }));
  image.alt = say("qrAlt");
  // As many pixels for each module as fit, and all modules alike: the picture says how many it has. A regular expression
  // would keep the whole picture as its last input.
  image.dataset.modules = parseInt(picture.split('viewBox="0 0 ')[1], 10);
  image.src = url;
  await image.decode().catch(() => {});
  URL.revokeObjectURL(url);
  at("qr").replaceChildren(image);
  fit();
  spell("code", code);
}

function keepTime(left) {
  const end = performance.now() + left * 1000;
  session = { whole: left, told: TOLD.filter((seconds) => seconds < left), ...session, end };
  tick();
}

/** Nothing of a session stays on the page. */
function forget() {
  session = null;
  for (const id of ["qr", "code", "code-spelt", "clock"]) at(id).replaceChildren();
}

function fit() {
  const image = at("qr").firstElementChild;
  if (!image) return;
  const modules = Number(image.dataset.modules);
  const pixels = Math.floor((parseFloat(getComputedStyle(root).fontSize) * 35.5 * devicePixelRatio) / modules);
  image.width = image.height = (Math.max(1, pixels) * modules) / devicePixelRatio;
}

const secondsTo = (end) => Math.max(0, Math.ceil((end - performance.now()) / 1000));
const minutes = (seconds) => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;

function tick() {
  at("confirm-clock").textContent = asked ? minutes(secondsTo(asked)) : "";
  if (!session) return;
  const left = secondsTo(session.end);
  at("clock").textContent = minutes(left);
  at("bar").style.inlineSize = `${(100 * left) / session.whole}%`;
  at("time").classList.toggle("urgent", left < URGENT);
  if (left <= session.told[0]) {
    announce(say("timeTold", { time: minutes(left) }));
    session.told = session.told.filter((seconds) => seconds < left);
  }
  if (left === 0) {
    // The service counts whole seconds that are left: it says so within the next one.
    expired = true;
    forget();
    setTimeout(() => refresh().catch(lost), PAUSE);
  }
}

// In step with the service

let asking = null;
let again = false;

/** Asks where the device stands, and draws it; once at a time. */
function refresh() {
  if (asking) {
    again = true;
    return asking;
  }
  asking = (async () => {
    do {
      again = false;
      report = await service.status();
      if (report.expiresInSeconds > 0) {
        if (stale || !session) await drawSession().then(() => (stale = false), gone);
        keepTime(report.expiresInSeconds);
      }
      draw();
    } while (again);
  })();
  return asking.finally(() => {
    asking = null;
  });
}

/** The session ended between two questions: the next answer says so. */
function gone(fault) {
  if (!(fault instanceof service.Refusal)) throw fault;
  again = true;
}

function lost(fault) {
  speak(report?.installed?.settings.language.toUpperCase() ?? configured);
  show(fault instanceof service.Locked ? "locked" : "unreachable");
}

const rest = () => new Promise((resume) => setTimeout(resume, PAUSE));

async function follow() {
  for (;;) {
    try {
      for await (const { name, data } of service.events()) {
        if (name === "qrCodeExpired") expired = true;
        if (["open", "missed", "qrCodeGenerated"].includes(name)) stale = true;
        if (name === "statusChanged" && data.phase && shown === "checking") drawPhase(data.phase);
        await refresh();
      }
    } catch (fault) {
      lost(fault);
    }
    await rest();
  }
}

// What a person does

/** Says in words why an act was refused; null takes the words away. */
function tell(problem) {
  const texts = problem && failureTexts(problem.code);
  at("notice").replaceChildren(
    ...(texts ? [["strong", texts.what], ["span", texts.next]] : []).map(([kind, text]) =>
      Object.assign(document.createElement(kind), { textContent: text }),
    ),
  );
}

const ACTS = {
  open: service.open,
  cancel: service.cancel,
  confirm: () => service.answer(true),
  refuse: () => service.answer(false),
  acknowledge: service.acknowledge,
  leave: async () => {
    expired = false;
  },
};

async function act(name) {
  if (root.classList.contains("busy")) return;
  tell(null);
  root.classList.add("busy");
  try {
    await ACTS[name]();
    await refresh();
  } catch (fault) {
    if (fault instanceof service.Refusal) {
      await refresh().catch(lost);
      tell(fault.problem);
    } else lost(fault);
  } finally {
    root.classList.remove("busy");
  }
}

// The administrator's PIN

function closePin() {
  at("pin").value = "";
  at("pin-fault").textContent = "";
  if (at("pin-dialog").open) at("pin-dialog").close();
}

async function sendPin() {
  const field = at("pin");
  const request = service.deprovision(field.value);
  field.value = "";
  at("pin-send").disabled = true;
  at("pin-fault").textContent = "";
  try {
    await request;
    await refresh();
  } catch (fault) {
    if (!(fault instanceof service.Refusal)) return lost(fault);
    const { code, retryAfter } = fault.problem;
    at("pin-fault").textContent =
      code === "AdminRequired" ? say("pinWrong") : retryAfter ? say("pinWait", { seconds: retryAfter }) : failureTexts(code).what;
  } finally {
    at("pin-send").disabled = false;
    if (at("pin-dialog").open) field.focus();
  }
}

/** A display has no keyboard: digits to touch. A PIN with other characters needs one. */
function makeKeys() {
  const key = (text, press) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: text });
    button.addEventListener("click", () => press(at("pin")));
    return button;
  };
  const digits = [..."1234567890"].map((digit) => key(digit, (field) => field.setRangeText(digit, field.value.length, field.value.length, "end")));
  const back = key("⌫", (field) => {
    field.value = field.value.slice(0, -1);
  });
  back.dataset.label = "erase";
  at("keys").append(...digits, back);
}

// The look

const THEME = "zmon.theme";
const prefersDark = matchMedia("(prefers-color-scheme: dark)");

function drawTheme() {
  const wanted = localStorage.getItem(THEME) ?? root.dataset.theme;
  const dark = wanted === "auto" ? prefersDark.matches : wanted === "dark";
  root.classList.toggle("dark", dark);
  at("theme").setAttribute("aria-pressed", String(dark));
}

function toggleTheme() {
  localStorage.setItem(THEME, root.classList.contains("dark") ? "bright" : "dark");
  drawTheme();
}

// The beginning

drawTheme();
makeKeys();
prefersDark.addEventListener("change", drawTheme);
at("theme").addEventListener("click", toggleTheme);
addEventListener("resize", fit);
addEventListener("hashchange", () => refresh().catch(lost));
document.addEventListener("click", ({ target }) => {
  const name = target.closest("[data-act]")?.dataset.act;
  if (name === "ask-pin") at("pin-dialog").showModal();
  else if (name === "close-pin") closePin();
  else if (name) act(name);
});
at("pin-dialog").addEventListener("close", closePin);
at("pin-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sendPin();
});
for (const name of LANGUAGES) {
  while (!catalogues[name]) catalogues[name] = await service.catalogue(name).catch(() => rest());
}
speak(configured);
setInterval(tick, 250);
// A service that hangs closes no stream.
setInterval(() => shown !== "locked" && refresh().catch(lost), LOOK);
follow();
