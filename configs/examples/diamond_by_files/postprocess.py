import json
import sys
from pathlib import Path

first, second, result = map(Path, sys.argv[1:])
total = sum(json.loads(path.read_text())["val"] for path in (first, second))
result.write_text(json.dumps({"result": total}))
print(f"the result is {total}")
