import json
import sys
from pathlib import Path

inputs, first, second = map(Path, sys.argv[1:])
val = json.loads(inputs.read_text())["val"]
first.write_text(json.dumps({"val": val + 1}))
second.write_text(json.dumps({"val": val + 2}))
