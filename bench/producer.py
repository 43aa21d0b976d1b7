"""A job that stores values one by one, for `bench.rows.latency`.

usage: producer.py TIMES PIPE COUNT: stores v0, v1, …, notes in TIMES when each was acknowledged
(seconds of CLOCK_MONOTONIC, as doubles), and reads a byte from PIPE before the next one: its
consumer writes it when it has run.
"""

import os
import struct
import sys
import time

from torcd.client import current_job


def main() -> None:
    file, pipe, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    job = current_job()
    ran = os.open(pipe, os.O_RDWR)  # also for writing: that a writer closes is no end
    times = []
    for number in range(count):
        job.store(f"v{number}", number)
        times.append(time.monotonic())
        os.read(ran, 1)
    with open(file, "wb") as out:
        out.write(struct.pack(f"{count}d", *times))


if __name__ == "__main__":
    main()
