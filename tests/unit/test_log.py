"""The log, wherever standard error goes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

LOG_AND_SAY_SO = """
from torcd import log
logger = log.set_up("info", "json")
for _ in range(3):
    logger.info("event", text="\\udcff")
print("still here")
"""


def _run(stderr: int | IO[bytes]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LOG_AND_SAY_SO],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        check=False,
    )


def _pipe_that_nobody_reads() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def test_a_log_that_cannot_be_written_ends_nothing() -> None:
    unread = _pipe_that_nobody_reads()
    try:
        done = _run(unread)
    finally:
        os.close(unread)
    assert (done.returncode, done.stdout) == (0, "still here\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_under_the_log_ends_nothing() -> None:
    with open("/dev/full", "wb") as full:
        done = _run(full)
    assert (done.returncode, done.stdout) == (0, "still here\n")


def test_what_is_no_text_is_logged_all_the_same() -> None:
    done = _run(subprocess.PIPE)
    assert done.stderr.count("udcff") == 3
