"""The program that searches with regexes that might take for ever.

Some regexes take longer than the world will last on a name of thirty letters, and while Python's
`re` is at it nothing else runs in the process. So this is a process of its own, which the kernel
ends when one regex has used up its time. It gets one JSON text on standard input, [names,
[[regex, [place, …] or null], …]], and answers each regex with a line of the places of the names in
which it is found. What is not answered took too long.
"""

import json
import re
import resource
import signal
import sys

CHUNK = 10_000
"""How many names are searched before the time is counted anew."""

CPU_SECONDS = 1.0
"""For a chunk."""


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    names, questions = json.load(sys.stdin)
    for regex, places in questions:
        wanted = range(len(names)) if places is None else places
        search = re.compile(regex).search
        found = []
        for start in range(0, len(wanted), CHUNK):
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            found += [place for place in wanted[start : start + CHUNK] if search(names[place])]
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
