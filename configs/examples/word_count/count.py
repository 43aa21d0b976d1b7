"""Count the words of some files: count.py NAME FILE...

It needs nothing but Python itself: a line in $TORC_OUTPUT stores the counts.
"""

import json
import os
import re
import sys

name, *files = sys.argv[1:]
counts: dict[str, int] = {}
for file in files:
    with open(file, encoding="utf-8", errors="replace") as text:
        for word in re.findall("[a-z_]+", text.read().lower()):
            counts[word] = counts.get(word, 0) + 1

with open(os.environ["TORC_OUTPUT"], "a") as output:
    output.write(f"{name}={json.dumps(counts)}\n")
