"""Holds answers against the interface documents: one line of JSON for each line on standard input.

`{}` validates the documents and lists what they promise; `{"watch": socket}` opens the event stream, `{"events": count}` waits for
so many events; anything else is a request. What is in them, and in the answers, says `interface.py`.
"""

import json
import sys

import interface

for line in sys.stdin:
    asked = json.loads(line)
    if "watch" in asked:
        said = interface.watch(asked["watch"]) or {}
    elif "events" in asked:
        said = interface.events(asked["interface"], asked["events"])
    elif asked:
        said = interface.ask(asked)
    else:
        said = interface.describe()
    print(json.dumps(said), flush=True)
