// Provisions a monitor with npm jose: sign, seal, push.
// node provision.mjs --qr FILE --home DIR --client DIR --server-url URL --label TEXT [--receipt FILE] [--save-body FILE]
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Refused, Station, main, payload, push, wrap } from './zmon.mjs';

await main(async () => {
  const text = { type: 'string' };
  const { values: options } = parseArgs({
    options: {
      qr: { type: 'string', default: '-' }, // file with the QR code's text; - is standard input
      home: text, // the station's folder
      client: text, // folder of `zmon-station issue`
      'server-url': text,
      label: text,
      unit: { type: 'string', default: 'METRIC' },
      language: { type: 'string', default: 'EN' },
      body: text, // push this sealed body instead of a new one
      'save-body': text, // write the sealed body, to push it again
      'no-push': { type: 'boolean' }, // seal only; push with curl, for example
      receipt: text, // write the receipt
    },
  });
  if (!options.home) throw new Refused('Name the station\'s folder with --home.');
  const station = Station.open(options.home);
  const qr = station.readQr(readFileSync(options.qr === '-' ? 0 : options.qr, 'utf8').trim());
  let body;
  if (options.body) {
    body = readFileSync(options.body, 'utf8');
  } else {
    if (!(options.client && options['server-url'] && options.label)) {
      throw new Refused('A new payload needs --client, --server-url and --label.');
    }
    const members = payload(qr, {
      serverUrl: options['server-url'],
      clientCertificate: readFileSync(join(options.client, 'certificate.pem'), 'utf8'),
      clientPrivateKey: readFileSync(join(options.client, 'key.pem'), 'utf8'),
      caCertificate: station.ca,
      deviceLabel: options.label,
      measurementUnit: options.unit,
      language: options.language,
    });
    body = await wrap(qr, await station.sign(qr.deviceId, members));
  }
  if (options['save-body']) writeFileSync(options['save-body'], body);
  if (options['no-push']) return;
  const { status, answer } = await push(qr, body);
  if (status !== 200) throw new Refused(`${status} ${answer.code}: ${answer.detail} ${answer.nextAction}`);
  if (options.receipt) writeFileSync(options.receipt, answer.receipt);
  console.log(answer.message);
});
