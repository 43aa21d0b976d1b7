"""Add up all counts that this job takes in: merge.py NAME"""

import json
import os
import sys

name = sys.argv[1]
with open(os.environ["TORC_INPUTS"]) as inputs:
    parts = json.load(inputs).values()

counts: dict[str, int] = {}
for part in parts:
    for word, count in part.items():
        counts[word] = counts.get(word, 0) + count

with open(os.environ["TORC_OUTPUT"], "a") as output:
    output.write(f"{name}={json.dumps(counts)}\n")
