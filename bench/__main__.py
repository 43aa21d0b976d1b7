"""`make bench`: measure, and say what was found on what machine.

python -m bench             everything, five rounds: an hour or more
python -m bench flat chain  these rows
python -m bench --quick     sizes so small that the figures mean nothing, to see whether all works
"""

import argparse
import datetime
import os
import signal
import sys
from pathlib import Path

from bench import machine, report
from bench.peers import catalog, redis
from bench.run import Run, places
from bench.suite import ROWS, outcome

RESULTS = Path(__file__).parent / "results"

PEER_SECONDS = 600.0


def main() -> None:
    options = _parser().parse_args()
    # As with Ctrl-C: daemons are ended and files are deleted on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    rows = list(dict.fromkeys(options.rows or ROWS))
    began_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    peers, missing = catalog.found()
    if options.peers is not None:
        wanted = [name for name in options.peers.split(",") if name]
        if unknown := set(wanted) - {each.name for each in peers}:
            sys.exit(f"not here: {', '.join(sorted(unknown))}")
        peers = tuple(each for each in peers if each.name in wanted)
    versions = {each.name: each.version for each in peers}
    if redis_version := redis.version():
        versions["Redis"] = redis_version
    path = options.json or RESULTS / f"{began_at.replace(':', '')}.json"
    outcomes = []
    with places(logs_on_disk=options.logs_on_disk) as (scratch, logs):
        found = machine.look(scratch, versions)
        print(f"{began_at}, load {machine.load():.1f}\n{found}", flush=True)
        run = Run(
            rounds=options.rounds or (1 if options.quick else 5),
            is_quick=options.quick,
            at_once=len(os.sched_getaffinity(0)),
            scratch=scratch,
            logs=logs,
            peers=peers,
            peer_seconds=options.peer_seconds,
            say=lambda text: print(f"  {text}", file=sys.stderr, flush=True),
        )
        for name in rows:
            print(f"{name} …", file=sys.stderr, flush=True)
            outcomes.append(outcome(name, run))
            print(report.table(outcomes[-1:], ()), file=sys.stderr, flush=True)
            # After each row: what was measured for an hour is not lost with the next one.
            report.write(
                report.Report(
                    began_at=began_at,
                    machine=found,
                    rounds=run.rounds,
                    is_quick=run.is_quick,
                    at_once=run.at_once,
                    logs_on_disk=options.logs_on_disk,
                    missing=missing,
                    outcomes=outcomes,
                ),
                path,
            )
    print(report.table(outcomes, missing))
    if options.quick:
        print("these sizes are for seeing whether all works: the figures mean nothing")
    print(f"all that was measured: {path}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS), type=_row)
    parser.add_argument("--rounds", type=_positive, help="default: 5; with --quick: 1")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes; the figures mean nothing"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="default: bench/results/TIME.json"
    )
    parser.add_argument("--peers", metavar="A,B", help="only these; an empty text: none")
    parser.add_argument(
        "--peer-seconds",
        type=float,
        default=PEER_SECONDS,
        metavar="S",
        help="a peer that takes longer is given up (default: %(default)s)",
    )
    parser.add_argument(
        "--logs-on-disk", action="store_true", help="logs of jobs there, instead of in memory"
    )
    return parser


def _row(text: str) -> str:
    if text not in ROWS:
        raise argparse.ArgumentTypeError(f"there is no {text!r}; there are {', '.join(ROWS)}")
    return text


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rounds, which is 1 or more")
    return int(text)


if __name__ == "__main__":
    main()
