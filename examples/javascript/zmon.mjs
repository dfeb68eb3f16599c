// What the JavaScript clients share: QR text, derived keys, sealing, the pinned push. Node's own modules and npm `jose`.
import { createHash, createHmac, createPrivateKey, hkdfSync, timingSafeEqual } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { CompactEncrypt, CompactSign, importJWK } from 'jose';

/** A sentence for a person: nothing was issued or sent, or the monitor refused. */
export class Refused extends Error {}

export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('base64url');

/** HKDF-SHA256 with the device id as info; `purpose` is provisioning, qr or receipt. */
const derive = (key, purpose, deviceId) =>
  Buffer.from(hkdfSync('sha256', key, `z-monitor/${purpose}/v1`, deviceId, 32));

/** The keys of a station's folder, as `zmon-station init` makes it: one of the two trust anchors. */
export class Station {
  constructor({ master, seed, ca }) {
    Object.assign(this, { master, seed, ca });
  }

  static open(folder) {
    const key = (name) => {
      const path = join(folder, name);
      return existsSync(path) ? Buffer.from(readFileSync(path, 'utf8').trim(), 'base64url') : undefined;
    };
    const [master, seed] = [key('provisioning-master.key'), key('ed25519-signing.key')];
    if (!master === !seed) {
      throw new Refused(`${folder} must hold provisioning-master.key or ed25519-signing.key, and not both.`);
    }
    return new Station({ master, seed, ca: readFileSync(join(folder, 'ca.pem'), 'utf8') });
  }

  get algorithm() {
    return this.master ? 'HS256' : 'EdDSA';
  }

  deviceKey(deviceId) {
    return derive(this.master, 'provisioning', deviceId);
  }

  receiptKey(deviceId) {
    return derive(this.deviceKey(deviceId), 'receipt', deviceId);
  }

  /** The QR code's members, after its `mac` was verified: before that, nothing may be issued for it. */
  readQr(text) {
    const qr = JSON.parse(text);
    if (qr.v !== 1) throw new Refused('The QR code is of another protocol version.');
    if (!this.master) {
      if ('mac' in qr) throw new Refused('The QR code carries a mac, but this station signs with Ed25519.');
      return qr;
    }
    const spoken = text.slice(0, Math.max(0, text.lastIndexOf(',"mac":"')));
    const key = derive(this.deviceKey(qr.deviceId), 'qr', qr.deviceId);
    const mac = createHmac('sha256', key).update(spoken).digest().subarray(0, 16).toString('base64url');
    const [expected, found] = [Buffer.from(`${spoken},"mac":"${mac}"}`), Buffer.from(text)];
    if (expected.length !== found.length || !timingSafeEqual(expected, found)) {
      throw new Refused("The QR code's mac is missing or wrong: it is not from a monitor of this station.");
    }
    return qr;
  }

  /** A compact JWS with a header of exactly `alg`. */
  sign(deviceId, payload) {
    // An Ed25519 key in PKCS#8 is this prefix and the seed (RFC 8410).
    const key = this.master
      ? this.deviceKey(deviceId)
      : createPrivateKey({
          key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), this.seed]),
          format: 'der',
          type: 'pkcs8',
        });
    const text = new TextEncoder().encode(JSON.stringify(payload));
    return new CompactSign(text).setProtectedHeader({ alg: this.algorithm }).sign(key);
  }
}

/** The members that bind a payload to one screen and one moment, and those that the caller gives. */
export const payload = (qr, members, now = Date.now()) => ({
  version: 1,
  deviceId: qr.deviceId,
  sessionKey: qr.key,
  pairingCode: qr.pairingCode,
  ...members,
  timestamp: now,
  expiresAt: now + 600_000,
});

/** A compact JWE to the key in the QR code. */
export async function wrap(qr, signed) {
  const key = await importJWK({ kty: 'OKP', crv: 'X25519', x: qr.key }, 'ECDH-ES+A256KW');
  return new CompactEncrypt(new TextEncoder().encode(signed))
    .setProtectedHeader({ alg: 'ECDH-ES+A256KW', enc: 'A256GCM', cty: 'JOSE' })
    .encrypt(key);
}

/** A TLS connection whose pin was checked: the pin replaces chain and name, never the handshake's signature. */
function pinned(qr) {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: qr.ipAddress, port: qr.port ?? 8443, rejectUnauthorized: false }, () => {
      const spki = socket.getPeerX509Certificate().publicKey.export({ type: 'spki', format: 'der' });
      if (sha256(spki) === qr.pin) return resolve(socket);
      socket.destroy();
      reject(new Refused('The pin does not match: this is not the monitor that showed the QR code. Nothing was sent.'));
    });
    socket.setTimeout(30_000, () => socket.destroy(new Error('The monitor does not answer.')));
    socket.once('error', reject);
  });
}

/** Status and answer; Node's https follows no redirect. */
export async function push(qr, body) {
  const socket = await pinned(qr);
  return new Promise((resolve, reject) => {
    const call = request({
      createConnection: () => socket,
      host: qr.ipAddress,
      port: qr.port ?? 8443,
      method: 'POST',
      path: '/provisioning/configure',
      headers: { 'Content-Type': 'application/jose', 'Content-Length': Buffer.byteLength(body) },
    });
    call.once('error', reject);
    call.once('response', async (response) => {
      const chunks = [];
      for await (const chunk of response) chunks.push(chunk);
      socket.destroy();
      resolve({ status: response.statusCode, answer: JSON.parse(Buffer.concat(chunks).toString()) });
    });
    call.end(body);
  });
}

/** Runs a command line; a refusal is one sentence and exit code 1. */
export async function main(work) {
  try {
    await work();
  } catch (error) {
    console.error(error instanceof Refused ? error.message : error);
    process.exitCode = 1;
  }
}
