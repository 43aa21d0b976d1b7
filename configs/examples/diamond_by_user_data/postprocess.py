from torcd.client import current_job

job = current_job()
result = sum(value["val"] for value in job.inputs.values())
job.store("result", {"result": result})
