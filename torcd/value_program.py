"""The program that looks at large values, as a process of its own.

It gets a value's text on standard input until that ends, and its longest size as the argument. It
answers on standard output with the value's SHA-256, or with what is wrong with it after a minus.
"""

import resource
import sys

from torcd import errors, value

MAX_MEMORY_BYTES = 4 << 30
"""Address space. The largest value takes a quarter of it by default, if it is all brackets."""


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    text = sys.stdin.buffer.read()
    try:
        answer = value.parse(text, name="", max_bytes=int(sys.argv[1])).sha256
    except errors.InvalidValue as error:
        answer = f"-{error.facts['problem']}"
    except MemoryError:
        answer = "-it needs too much memory to be looked at"
    sys.stdout.buffer.write(answer.encode())


if __name__ == "__main__":
    main()
