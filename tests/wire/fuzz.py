"""`python -m tests.wire.fuzz [TARGET…] [--seconds N]`: bytes for the targets, guided by what code
they reach if atheris is installed, otherwise at random.

What has been found to be worth keeping is in `corpus/TARGET/`. An input that shows a bug is written
to `.fuzz/` and named; put it into the corpus when the bug is mended.
"""

import argparse
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
FOUND = Path(__file__).parents[2] / ".fuzz"
"""What was found on the way; `-merge=1` of atheris makes a small corpus of it."""

MAX_BYTES = 4_096

TOKENS = (
    b"\0",
    b"\n",
    b"=",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b'"',
    b"\\",
    b"null",
    b"true",
    b"1e5",
    b"-0.0",
    b"NaN",
    b"\\ud800",
    b"\xff",
    b"\xed\xa0\x80",
    b"9" * 50,
    b"0" * 50,
    b"[" * 70,
    b'{"a":' * 70,
    b'"method":"io.torcd.UserData.Store"',
    b'"parameters":',
    b'["claimed",[[1,2]]]\n',
    b'["started",1,2,3,4]\n',
    b'["exited",1,0,3,0.5,6]\n',
)


def seeds(target: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / target).glob("*")) if path.is_file()]


def mutants(start: list[bytes], seed: int) -> Iterator[bytes]:
    """Without end; the same for the same seed."""
    dice = random.Random(seed)
    known = start or [b""]
    while True:
        data = bytearray(dice.choice(known))
        for _ in range(dice.randrange(1, 8)):
            at = dice.randrange(len(data) + 1)
            match dice.randrange(7):
                case 0:
                    data[at:at] = dice.choice(TOKENS)
                case 1:
                    data[at:at] = dice.randbytes(dice.randrange(1, 9))
                case 2:
                    del data[at : at + dice.randrange(1, 16)]
                case 3 if data:
                    data[at % len(data)] = dice.randrange(256)
                case 4:
                    end = at + dice.randrange(32)
                    data[at:at] = data[at:end] * dice.randrange(1, 4)
                case 5:
                    other = dice.choice(known)
                    data[at:] = other[dice.randrange(len(other) + 1) :]
                case _:
                    data = bytearray(dice.randbytes(dice.randrange(64)))
        yield bytes(data[:MAX_BYTES])


def at_random(target: str, seconds: float) -> int:
    from tests.wire.fuzz_targets import targets

    end = time.monotonic() + seconds
    done = 0
    with targets()[target]() as function:
        for data in mutants(seeds(target), seed=time.time_ns()):
            try:
                function(data)
            except BaseException:
                FOUND.mkdir(exist_ok=True)
                found = FOUND / f"bug-{target}"
                found.write_bytes(data)
                print(f"{target}: {data[:200]!r} shows a bug; it is in {found}", file=sys.stderr)
                raise
            done += 1
            if time.monotonic() > end:
                return done
    raise AssertionError


def guided(target: str, seconds: float) -> None:
    """Does not return: atheris ends the process."""
    import atheris

    with atheris.instrument_imports(include=["torcd"]):
        from tests.wire.fuzz_targets import targets

    news = FOUND / target
    news.mkdir(parents=True, exist_ok=True)
    ready = targets()[target]()
    function = ready.__enter__()
    atheris.Setup(
        [
            target,
            f"-max_total_time={seconds:.0f}",
            f"-max_len={MAX_BYTES}",
            "-print_final_stats=1",
            f"-artifact_prefix={FOUND}/bug-{target}-",
            "-timeout=30",
            "-verbosity=0",
            str(news),
            str(CORPUS / target),
        ],
        function,
    )
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", help="one of the targets of fuzz_targets.py")
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    try:
        import atheris  # noqa: F401
    except ImportError:
        done = at_random(options.target, options.seconds)
        print(f"{options.target}: {done} inputs at random, for atheris is not installed")
        return 0
    guided(options.target, options.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
