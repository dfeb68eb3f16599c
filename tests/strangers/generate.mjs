// Random payloads, one line of JSON for each line on standard input; the lines are those of generate.py.
// Runs in a folder that holds zmon.mjs of examples/javascript and its node_modules.
import { randomInt } from 'node:crypto';
import { createInterface } from 'node:readline';
import { Station, payload, wrap } from './zmon.mjs';

const LETTERS = [...'abc XYZ 0189-_.#/äößéñçłřžđ ΑΩπ ЖЯщ 中文监护仪 日本 한국 שלום مراقبة हिन्दी ไทย 🏥🫀💉'];
const pick = (list) => list[randomInt(list.length)];
const up = (count, make) => Array.from({ length: count }, make).join('');
const maybe = (name, value) => (randomInt(2) ? { [name]: value } : {});

/** 1 to 64 scalars, no spaces at the ends. */
function label() {
  const end = () => pick([...'AzÄΩЖ中🏥7']);
  const length = pick([1, 2, 63, 64, randomInt(1, 65)]);
  return length === 1 ? end() : end() + up(length - 2, () => pick(LETTERS)) + end();
}

function members(pki) {
  const { serverCertificate, ...found } = pick(pki);
  const language = up(pick([2, 3]), () => pick([...'abcdefghijklmnopqrstuvwxyz']));
  return {
    ...found,
    ...maybe('serverCertificate', serverCertificate),
    ...maybe('syncInterval', pick([1, 3600, randomInt(1, 3601)])),
    serverUrl: `https://central.example.org${pick(['', `:${randomInt(1, 65536)}`])}${up(randomInt(5), () => `/${randomInt(1e6).toString(16)}`)}`,
    deviceLabel: label(),
    measurementUnit: pick(['METRIC', 'IMPERIAL']),
    language: pick(['EN', 'es', language, language.toUpperCase()]),
  };
}

function shuffled(object) {
  const pairs = Object.entries(object);
  for (let i = pairs.length - 1; i > 0; i -= 1) {
    const j = randomInt(i + 1);
    [pairs[i], pairs[j]] = [pairs[j], pairs[i]];
  }
  return Object.fromEntries(pairs);
}

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  const key = (text) => (text ? Buffer.from(text, 'base64url') : undefined);
  const station = new Station({ master: key(asked.master), seed: key(asked.seed) });
  const qr = station.readQr(asked.qr);
  const made = payload(qr, members(asked.pki), asked.now);
  made.expiresAt = asked.now + randomInt(1, 3_600_001);
  const signed = await station.sign(qr.deviceId, shuffled(made));
  console.log(JSON.stringify({ body: await wrap(qr, signed), signed, payload: made }));
}
