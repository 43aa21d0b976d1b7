"""The daemon's threads have a short slice where the kernel knows of that, and nobody else has."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from torcd import time_slice


def slice_of(task: str) -> int:
    """In nanoseconds. Skips where the kernel does not tell."""
    try:
        text = Path(f"/proc/{task}/sched").read_text()
    except OSError:
        pytest.skip("the kernel does not say what slices there are")
    found = re.search(r"^se\.slice\s*:\s*(\d+)$", text, re.MULTILINE)
    if found is None:
        pytest.skip("the kernel has no slices of a thread's own")
    return int(found[1])


def in_a_thread(work: str) -> str:
    """What a program prints that does it in a thread of its own: this one's stays what it is."""
    program = f"""
import os, subprocess, sys, threading
from torcd import time_slice
{work}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return done.stdout.decode()


def test_it_is_of_the_thread_that_asks_and_of_nobody_that_it_starts() -> None:
    usual = slice_of("self")
    if usual == time_slice.SLICE_NANOSECONDS:
        pytest.skip("all have a short one here")
    shown = in_a_thread(
        "def slice_of(task):\n"
        "    lines = open(f'/proc/{task}/sched').read().splitlines()\n"
        "    return next(l.split(':')[1] for l in lines if l.startswith('se.slice'))\n"
        "time_slice.ask_for_a_short_one()\n"
        "print(slice_of('thread-self'))\n"
        "thread = threading.Thread(target=lambda: print(slice_of('thread-self')))\n"
        "thread.start(); thread.join()\n"
        "sys.stdout.flush()\n"
        "print(subprocess.run(['grep', '^se.slice', '/proc/self/sched'],"
        " capture_output=True, text=True).stdout.split(':')[1])\n"
    )
    assert [int(text) for text in shown.split()] == [time_slice.SLICE_NANOSECONDS, usual, usual]


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root")
@pytest.mark.parametrize("nice", [-5, 0, 7])
def test_nobody_loses_a_priority_that_was_given(nice: int) -> None:
    shown = in_a_thread(
        f"os.setpriority(os.PRIO_PROCESS, 0, {nice})\n"
        "time_slice.ask_for_a_short_one()\n"
        "print(os.getpriority(os.PRIO_PROCESS, 0))\n"
        "sys.stdout.flush()\n"
        "subprocess.run(['nice'])\n"
    )
    assert shown.split() == [str(nice)] * 2


def test_a_program_of_another_kind_is_left_alone() -> None:
    shown = in_a_thread(
        "os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))\n"
        "time_slice.ask_for_a_short_one()\n"
        "print(os.sched_getscheduler(0))\n"
    )
    assert int(shown) == os.SCHED_BATCH


def test_where_it_cannot_be_had_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_slice, "_SET", None)
    thread = threading.Thread(target=time_slice.ask_for_a_short_one)
    thread.start()
    thread.join()
