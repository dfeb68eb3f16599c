"""Another host with a certificate of its own, that notes what clients send it. One line for each line on standard input.

`{}` opens a port for one connection: `port` and its `pin`. The next `{}` tells what came: `bytes` after the handshake.
"""

import datetime
import hashlib
import json
import socket
import ssl
import sys
import tempfile
import threading

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

import zmon

key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "another host")])
now = datetime.datetime.now(datetime.timezone.utc)
day = datetime.timedelta(days=1)
builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
certificate = builder.sign(key, SHA256())
spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
pin = zmon.b64(hashlib.sha256(spki).digest())
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
with tempfile.NamedTemporaryFile() as file:
    file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    file.write(certificate.public_bytes(Encoding.PEM))
    file.flush()
    context.load_cert_chain(file.name)


def record(listener: socket.socket, found: list) -> None:
    connection, _ = listener.accept()
    connection.settimeout(30)
    try:
        with context.wrap_socket(connection, server_side=True) as tls:
            found.append(len(tls.recv(65536)))
    except OSError:
        # The client broke off while it was still shaking hands.
        found.append(0)


while sys.stdin.readline():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found: list[int] = []
        thread = threading.Thread(target=record, args=(listener, found), daemon=True)
        thread.start()
        print(json.dumps({"port": listener.getsockname()[1], "pin": pin}), flush=True)
        if not sys.stdin.readline():
            break
        thread.join(30)
        print(json.dumps({"bytes": found[0]}), flush=True)
