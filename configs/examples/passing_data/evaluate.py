from torcd.client import current_job

job = current_job()
measurement = job.fetch("measurement")
samples = measurement["samples"]
print(f"mean: {sum(samples) / len(samples):.2f} {measurement['unit']}")
