"""Posts readings to the gateway of the pipeline; needs nothing but Python.

    python send_readings.py http://127.0.0.1:8600/readings < readings.ndjson

Each line of the input is a reading as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request


def send(url: str, readings: list[dict[str, object]]) -> str:
    """Post readings, again and again until the pipeline has them; what it answers."""
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get("GATEWAY_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, json.dumps(readings).encode(), headers)  # noqa: S310
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                said: str = answer.read().decode()
                return said
        except urllib.error.HTTPError as error:
            if error.code not in {429, 503}:
                raise SystemExit(error.read().decode()) from None
            time.sleep(float(error.headers.get("Retry-After", "5")))
        except OSError:  # the gateway is not there
            time.sleep(5)


if __name__ == "__main__":
    print(send(sys.argv[1], [json.loads(line) for line in sys.stdin if line.strip()]))  # noqa: T201
