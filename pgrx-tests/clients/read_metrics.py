"""Reads Prometheus' text exposition format from standard input with its own parser.

Prints one line a sample, sorted: name, labels as JSON, value, separated by tabs.
"""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

lines = []
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.type == "gauge", family
    assert family.documentation, family
    for sample in family.samples:
        labels = json.dumps(sample.labels, sort_keys=True, ensure_ascii=False)
        lines.append(f"{sample.name}\t{labels}\t{sample.value:.17g}")
print("\n".join(sorted(lines)))
