from torcd.client import current_job

job = current_job()
job.store("measurement", {"samples": [1.0, 1.2, 1.4], "unit": "V"})
