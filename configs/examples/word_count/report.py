"""Store and print the twenty most frequent words."""

from torcd.client import current_job

job = current_job()
(counts,) = job.inputs.values()
# Words that are equally frequent stand in the order of the alphabet.
top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:20]
job.store("top_words", [{"word": word, "count": count} for word, count in top])
for word, count in top:
    print(f"{count:8} {word}")
