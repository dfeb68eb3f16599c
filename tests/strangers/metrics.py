"""Reads a device's metrics with the parser of PyPI's prometheus-client: for each control socket on standard input, one line of
JSON with the media type, the text, the kind of each metric, what it means, and every sample as `name{label="value"}`."""

import json
import sys

import interface
from prometheus_client.parser import text_string_to_metric_families


def sample_name(sample) -> str:
    labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
    return f"{sample.name}{{{labels}}}" if labels else sample.name


for line in sys.stdin:
    connection = interface.Local(json.loads(line))
    connection.request("GET", "/v1/metrics")
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    families = list(text_string_to_metric_families(text))
    samples = [(sample_name(sample), sample.value) for family in families for sample in family.samples]
    twice = {name for name, _ in samples if [other for other, _ in samples].count(name) > 1}
    said = {
        "mediaType": answer.headers["Content-Type"],
        "text": text,
        "kinds": {family.name: family.type for family in families},
        "meanings": {family.name: family.documentation for family in families},
        "samples": dict(samples),
        "twice": sorted(twice),
    }
    print(json.dumps(said), flush=True)
