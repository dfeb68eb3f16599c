// Verifies a monitor's receipt: HS256 with the receipt key, or with an Ed25519 anchor by the client certificate.
// node verify_receipt.mjs RECEIPT --home DIR --device-id ID --body FILE --certificate FILE
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { compactVerify } from 'jose';
import { Refused, Station, main, sha256 } from './zmon.mjs';

const CLAIMS = ['version', 'deviceId', 'bodySha256', 'certificateSha256', 'completedAt', 'auditCount', 'auditHead'];

/** The key fixes the algorithm; the receipt's header never chooses it. */
function keyAndAlgorithm(station, deviceId, certificate) {
  if (station.master) return [station.receiptKey(deviceId), 'HS256'];
  const key = certificate.publicKey;
  const curve = key.asymmetricKeyDetails?.namedCurve;
  const algorithm = { ed25519: 'EdDSA', rsa: 'PS256', ec: { prime256v1: 'ES256', secp384r1: 'ES384' }[curve] };
  const found = algorithm[key.asymmetricKeyType];
  if (!found) throw new Refused("The certificate's key is of a kind that receipts are not signed with.");
  return [key, found];
}

await main(async () => {
  const text = { type: 'string' };
  const { values: options, positionals } = parseArgs({
    allowPositionals: true,
    options: { home: text, 'device-id': text, body: text, certificate: text },
  });
  const station = Station.open(options.home);
  const certificate = new X509Certificate(readFileSync(options.certificate));
  const [key, algorithm] = keyAndAlgorithm(station, options['device-id'], certificate);
  const receipt = readFileSync(positionals[0], 'utf8').trim();
  const verified = await compactVerify(receipt, key, { algorithms: [algorithm] }).catch((error) => {
    throw new Refused(`The receipt is not genuine: ${error.code}.`);
  });
  const header = verified.protectedHeader;
  if (header.typ !== 'zm-receipt' || Object.keys(header).length !== 2) {
    throw new Refused("The receipt's header is not that of a receipt.");
  }
  const claims = JSON.parse(new TextDecoder().decode(verified.payload));
  const expected = {
    version: 1,
    deviceId: options['device-id'],
    bodySha256: sha256(readFileSync(options.body)),
    certificateSha256: sha256(certificate.raw),
  };
  const same = Object.entries(expected).every(([name, value]) => claims[name] === value);
  if (!same || Object.keys(claims).sort().join() !== [...CLAIMS].sort().join()) {
    throw new Refused('The receipt is for another device, payload or certificate.');
  }
  console.log(JSON.stringify(claims));
});
