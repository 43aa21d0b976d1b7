import json
import sys
from pathlib import Path

source, target = map(Path, sys.argv[1:])
val = json.loads(source.read_text())["val"]
target.write_text(json.dumps({"val": val + 1}))
