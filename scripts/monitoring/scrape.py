"""Asks a demo this and that until it has told all of itself that takes its time.

    scrape.py ADDRESS FILE      leaves its metrics in the file
"""

import re
import sys
import time
import urllib.error
import urllib.request

WITHIN_S = 60
REQUESTS = ["/v1/health", "/v1/providers", "/v1/events/search?limit=1", "/v1/events/search?no=1", "/nowhere"]

# Told only after a scheduler's look at the whole, a round of syncs, an export.
LATE = [
    "fanfare_providers",
    "fanfare_provider_freshness_seconds",
    "fanfare_queue_drain_seconds",
    "fanfare_set_asides_total",
    "fanfare_fan_out_duration_seconds",
    "fanfare_dataset_version",
    "fanfare_cache_requests_total",
    "otel_sdk_exporter_span_exported_total",
    "otel_sdk_exporter_metric_data_point_exported_total",
]


def ask(address):
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError:
        return None


def main():
    address, file = sys.argv[1:]
    deadline = time.monotonic() + WITHIN_S
    while True:
        for path in REQUESTS:
            ask(address + path)
        text = ask(address + "/metrics")
        if text is None:
            sys.exit("/metrics is not answered with 200")
        missing = [metric for metric in LATE if not re.search(rf"^# TYPE {metric} ", text, re.M)]
        if not missing or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    with open(file, "w") as out:
        out.write(text)
    if missing:
        sys.exit(f"not told within {WITHIN_S} s: {', '.join(missing)}")


if __name__ == "__main__":
    main()
