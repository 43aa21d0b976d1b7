import sys

from torcd.client import current_job

source, target = sys.argv[1:]
job = current_job()
job.store(target, {"val": job.fetch(source)["val"] + 1})
