"""`make bench`: measure, and say on what."""

import argparse

from bench import idling, machine, spawning


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="*", choices=["spawning", "idling", []], default=[])
    parser.add_argument("--jobs", type=int, default=2_000)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--logs-on-disk", action="store_true")
    parser.add_argument("--idle-seconds", type=int, default=60)
    options = parser.parse_args()
    what = options.what or ["spawning", "idling"]
    print(machine.description())
    if "spawning" in what:
        spawning.measure(
            options.jobs, options.at_once, options.rounds, logs_on_disk=options.logs_on_disk
        )
    if "idling" in what:
        idling.measure(options.idle_seconds)


if __name__ == "__main__":
    main()
