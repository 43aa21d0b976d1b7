"""What was done to run torcd as a service, in lines."""

from torcctl.service import Done


def done_text(done: Done, *, dry_run: bool) -> str:
    would = "would " if dry_run else ""
    verbs = ("write", "remove", "run") if dry_run else ("wrote", "removed", "ran")
    lines = [
        f"{would}{verb} {thing}"
        for verb, things in zip(verbs, (done.written, done.removed, done.commands), strict=True)
        for thing in things
    ]
    return "\n".join([*lines, *done.notes]) + "\n" * dry_run
