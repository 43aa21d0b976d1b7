"""HyperQueue: one job with a task for each entry, a server and a worker on this machine, no output.

usage: run_hyperqueue.py GRAPH COMMAND AT_ONCE; prints the seconds it took.
"""

import json
import sys
import time
from pathlib import Path

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig

graph = json.loads(Path(sys.argv[1]).read_text())
command, at_once = sys.argv[2], int(sys.argv[3])

with LocalCluster(str(Path.cwd() / "server"), WorkerConfig(cores=at_once)) as cluster:
    client = cluster.client()
    begin = time.perf_counter()
    job = Job(max_fails=0)
    tasks = []
    for waits_for in graph:
        dependencies = [tasks[k] for k in waits_for]
        tasks.append(job.program([command], stdout=None, stderr=None, deps=dependencies))
    submitted = client.submit(job)
    client.wait_for_jobs([submitted])
    print(time.perf_counter() - begin)
