"""Dask distributed: a process with one thread for each job at a time, a task that runs the command.

usage: run_dask.py GRAPH COMMAND AT_ONCE; prints the seconds it took.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from dask.distributed import Client, LocalCluster


def run(command, *_waited_for):
    subprocess.run([command], check=True)


def main():
    graph = json.loads(Path(sys.argv[1]).read_text())
    command, at_once = sys.argv[2], int(sys.argv[3])
    with (
        LocalCluster(n_workers=at_once, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        begin = time.perf_counter()
        futures = []
        for job, waits_for in enumerate(graph):
            inputs = [futures[k] for k in waits_for]
            futures.append(client.submit(run, command, *inputs, key=f"run-{job}", pure=False))
        client.gather(futures)
        print(time.perf_counter() - begin)


if __name__ == "__main__":
    main()
