"""Write the spec of a word count over the source of Python's own standard library.

    python make_spec.py > word_count.json5
    torcctl run word_count.json5
    torcctl logs report

Counting jobs take some files each; their counts are merged in a tree of jobs, FAN_IN at a time;
a last job reports the most frequent words. All of it is passed as user_data.
"""

import json
import sys
import sysconfig
from pathlib import Path

GROUPS = 160
"""How many counting jobs."""
FAN_IN = 5
"""How many counts one job merges."""
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3"}
"""Not part of every installation, or not written by hand."""


def library_files() -> list[Path]:
    """The .py files of the standard library, in a fixed order."""
    library = Path(sysconfig.get_path("stdlib"))
    found = library.rglob("*.py")
    return sorted(file for file in found if not LEFT_OUT & set(file.relative_to(library).parts))


def spec(files: list[Path]) -> dict[str, object]:
    groups = [files[n::GROUPS] for n in range(min(GROUPS, len(files)))]
    names = [f"count_{n:03}" for n in range(len(groups))]
    user_data = list(names)
    jobs: list[dict[str, object]] = [
        {
            "name": name,
            "command": ["python", "count.py", name, *map(str, group)],
            "output_user_data": [name],
        }
        for name, group in zip(names, groups, strict=True)
    ]
    level = 0
    while len(names) > 1:
        level += 1
        merged = []
        for n, start in enumerate(range(0, len(names), FAN_IN)):
            name = f"merge_{level}_{n:02}"
            jobs.append(
                {
                    "name": name,
                    "command": ["python", "merge.py", name],
                    "input_user_data": names[start : start + FAN_IN],
                    "output_user_data": [name],
                }
            )
            merged.append(name)
        user_data += merged
        names = merged
    jobs.append(
        {
            "name": "report",
            "command": ["python", "report.py"],
            "input_user_data": names,
            "output_user_data": ["top_words"],
        }
    )
    user_data.append("top_words")
    return {
        "name": "word_count",
        "description": f"Words of {len(files)} files of Python's standard library",
        "user_data": [{"name": name} for name in user_data],
        "jobs": jobs,
    }


if __name__ == "__main__":
    # JSON is JSON5 as well.
    json.dump(spec(library_files()), sys.stdout, indent=2)
    print()
