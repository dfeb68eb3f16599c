// What the page asks the service. Knows the token, and nothing of the screen.

const TOKEN = "zmon.token";
const ANSWER_TIME = 5_000;

/** Takes the token from the address, and the address bar forgets it. A reload finds it in the session's storage. */
function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given !== null) {
    sessionStorage.setItem(TOKEN, given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(TOKEN);
}

let token = takeToken();
addEventListener("hashchange", () => {
  token = takeToken();
});

/** The service said no: `problem` is its problem document. */
export class Refusal extends Error {
  constructor(problem) {
    super(problem.title);
    this.problem = problem;
  }
}

/** There is no token, or the service does not know it. */
export class Locked extends Error {}

async function send(method, path, { body, signal } = {}) {
  if (!token) throw new Locked();
  const headers = { Authorization: `Bearer ${token}` };
  const answer = await fetch(path, { method, headers, body, signal, cache: "no-store", credentials: "omit" });
  if (answer.status === 401) throw new Locked();
  if (answer.ok) return answer;
  throw new Refusal(await answer.json());
}

const brief = () => AbortSignal.timeout(ANSWER_TIME);

export const status = async () => (await send("GET", "/v1/status", { signal: brief() })).json();
export const picture = async () => (await send("GET", "/v1/pairing/qr.svg", { signal: brief() })).text();
export const pairingCode = async () =>
  (await (await send("GET", "/v1/pairing/code", { signal: brief() })).json()).pairingCode;

// An act may take its time: the service carries it out to its end in any case.
export const open = () => send("POST", "/v1/pairing");
export const cancel = () => send("DELETE", "/v1/pairing");
export const answer = (accept) => send("POST", "/v1/pairing/confirmation", { body: JSON.stringify({ accept }) });
export const acknowledge = () => send("POST", "/v1/acknowledge");
export const deprovision = (pin) => send("POST", "/v1/deprovision", { body: JSON.stringify({ pin }) });

/** One event after the other, until the stream ends. The first is no event: it says that from now on none is missed. */
export async function* events() {
  const stop = new AbortController();
  try {
    const answer = await send("GET", "/v1/events", { signal: stop.signal });
    yield { name: "open", data: {} };
    let text = "";
    for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
      const whole = (text + piece).split("\n\n");
      text = whole.pop();
      for (const lines of whole) {
        const field = (name) => lines.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
        yield { name: field("event"), data: JSON.parse(field("data")) };
      }
    }
  } finally {
    stop.abort();
  }
}

export const catalogue = async (language) => (await fetch(`/texts/${language}.json`)).json();
