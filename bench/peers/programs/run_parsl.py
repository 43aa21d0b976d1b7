"""Parsl with its executor of threads, the one that costs least: an app that runs the command.

usage: run_parsl.py GRAPH COMMAND AT_ONCE; prints the seconds it took.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import parsl
from parsl import python_app
from parsl.config import Config
from parsl.executors import ThreadPoolExecutor

graph = json.loads(Path(sys.argv[1]).read_text())
command, at_once = sys.argv[2], int(sys.argv[3])


@python_app
def run(command, *_waited_for):
    subprocess.run([command], check=True)


executor = ThreadPoolExecutor(max_threads=at_once)
with parsl.load(Config(executors=[executor], initialize_logging=False)):
    begin = time.perf_counter()
    futures = []
    for waits_for in graph:
        futures.append(run(command, *[futures[k] for k in waits_for]))
    for future in futures:
        future.result()
    print(time.perf_counter() - begin)
