"""Sends requests and holds each answer against the interface documents, with libraries that did not make them."""

import http.client
import json
import pathlib
import queue
import socket
import threading

import jsonschema
import zmon
from openapi_spec_validator import OpenAPIV31SpecValidator

DOCS = pathlib.Path(__file__).parents[2] / "docs"


def read(name: str) -> dict:
    return json.loads((DOCS / f"openapi-{name}.json").read_text())


# What is asked here. The kiosk's document is a part of the control API's, for a listener that the page's own tests ask.
DOCUMENTS = {name: read(name) for name in ("push", "control", "application")}
PATIENCE = 60


def closed(schema):
    """Of an answer every member has to be written down, though readers ought to be lenient."""
    if isinstance(schema, dict):
        schema = {key: closed(value) for key, value in schema.items()}
        if schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
    return [closed(value) for value in schema] if isinstance(schema, list) else schema


SCHEMAS = {name: closed(document["components"]["schemas"]) for name, document in DOCUMENTS.items()}


def objection(interface: str, schema: dict, instance) -> str | None:
    whole = schema | {"components": {"schemas": SCHEMAS[interface]}}
    errors = jsonschema.Draft202012Validator(whole).iter_errors(instance)
    return "; ".join(error.message for error in errors) or None


def fault(interface: str, asked: dict, status: int, headers, body: bytes) -> str | None:
    """What the document does not say of this answer."""
    document = DOCUMENTS[interface]
    operation = document["paths"].get(asked["path"].split("?")[0], {}).get(asked["method"].lower())
    if operation:
        responses = [response for listed, response in operation["responses"].items() if int(listed) == status]
    else:
        responses = list(document["components"]["responses"].values())
    media_type = headers["Content-Type"]
    found = []
    for response in responses:
        missing = [name for name in response.get("headers", {}) if not headers[name]]
        if missing:
            found.append(f"no header {missing}")
        elif media_type not in response["content"]:
            found.append(f"{media_type} is not listed")
        elif not media_type.endswith("json"):
            return None if body else "it is empty"
        else:
            wrong = objection(interface, response["content"][media_type]["schema"], json.loads(body))
            if not wrong:
                return None
            found.append(wrong)
    return f"{asked['method']} {asked['path']} {status} {body[:500]}: " + (" | ".join(found) or "it is not listed")


class Local(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str):
        super().__init__("localhost", timeout=PATIENCE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self.path)


def ask(asked: dict) -> dict:
    """A request with `interface` (push, control or application), `method`, `path`, and where wanted `headers`, `body` (text), `source` (the
    address to come from) and `stall` (the last byte is never sent) and
    `until` (the status up to which it is sent again); to the `qr` code's monitor, or to `socket`.
    The answer: `status`, `code`, `body`, and as `fault` what the document does not say of it."""
    interface = asked["interface"]
    connection = zmon.Pinned(asked["qr"], asked.get("source")) if interface == "push" else Local(asked["socket"])
    body = asked.get("body", "").encode("latin-1")
    try:
        for _ in range(500 if "until" in asked else 1):
            connection.putrequest(asked["method"], asked["path"])
            for name, value in asked.get("headers", {}).items():
                connection.putheader(name, value)
            if body:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body[:-1] if asked.get("stall") else body)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status == asked.get("until"):
                break
    finally:
        connection.close()
    wrong = fault(interface, asked, answer.status, answer.headers, content)
    json_body = json.loads(content) if (answer.headers["Content-Type"] or "").endswith("json") else {}
    return {"status": answer.status, "code": json_body.get("code"), "body": json_body, "fault": wrong}


EVENTS: queue.Queue = queue.Queue()


def watch(path: str) -> None:
    """Opens the event stream."""
    connection = Local(path)
    connection.request("GET", "/v1/events")
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == "text/event-stream"

    def read() -> None:
        while True:
            event, data, empty = (answer.readline().decode() for _ in range(3))
            if not event:
                return
            assert event.startswith("event: ") and data.startswith("data: ") and empty == "\n", (event, data, empty)
            EVENTS.put({"event": event[7:-1], "data": json.loads(data[6:])})

    threading.Thread(target=read, daemon=True).start()


def events(interface: str, names: list[str]) -> dict:
    """Waits until each of these events has come; gives what the document does not say of those that came."""
    answer = DOCUMENTS[interface]["paths"]["/v1/events"]["get"]["responses"]["200"]
    item = answer["content"]["text/event-stream"]["x-event"]
    awaited, wrong = set(names), []
    while awaited:
        event = EVENTS.get(timeout=PATIENCE)
        awaited.discard(event["event"])
        said = objection(interface, item, event)
        wrong += [f"{event}: {said}"] if said else []
    return {"fault": "; ".join(wrong) or None}


def describe() -> dict:
    """Validates every document; every operation with each of its statuses, as `METHOD PATH STATUS`."""
    for document in [*DOCUMENTS.values(), read("kiosk")]:
        OpenAPIV31SpecValidator(document).validate()
    listed = lambda document: [
        f"{method.upper()} {path} {status}"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        for status in operation["responses"]
    ]
    return {name: listed(document) for name, document in DOCUMENTS.items()}
