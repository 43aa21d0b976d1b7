from torcd.client import current_job

job = current_job()
val = job.fetch("inputs")["val"]
job.store("first", {"val": val + 1})
job.store("second", {"val": val + 2})
