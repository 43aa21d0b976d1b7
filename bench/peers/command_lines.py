"""Peers that are a command: make, ninja, doit and Snakemake, which read a file that says what
depends on what, and xargs and GNU parallel, which know no dependencies and read lines."""

import json
import subprocess
import time

from bench.peers import Task, environment


def timed(words: list[str], task: Task, *, stdin: str | None = None) -> float:
    """How long a command takes. Raises AssertionError when it fails."""
    path = environment.program(words[0])
    assert path is not None, words[0]
    begin = time.perf_counter()
    # Its own group, so that with it all that it has started can be ended.
    process = subprocess.Popen(
        [path, *words[1:]],
        cwd=task.directory,
        env={**environment.variables(), "HOME": str(task.directory)},
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    with environment.ended_with(process):
        _, complaints = process.communicate(stdin, timeout=task.seconds)
        seconds = time.perf_counter() - begin
    assert process.returncode == 0, (
        f"{words[0]} ended with {process.returncode}: {complaints[-2000:]}"
    )
    return seconds


def make(task: Task) -> float:
    names = " ".join(f"t{job}" for job in range(len(task.graph)))
    rules = "".join(
        f"t{job}:{''.join(f' t{k}' for k in waits_for)}\n\t@{task.command}\n"
        for job, waits_for in enumerate(task.graph)
    )
    # Neither rules for C nor suffixes: what make would look for in vain.
    head = f"MAKEFLAGS += --no-builtin-rules\n.SUFFIXES:\n.PHONY: all {names}\nall: {names}\n"
    (task.directory / "Makefile").write_text(head + rules)
    return timed(["make", "--silent", f"-j{task.at_once}"], task)


def ninja(task: Task) -> float:
    builds = "".join(
        f"build t{job}: run{''.join(f' t{k}' for k in waits_for)}\n"
        for job, waits_for in enumerate(task.graph)
    )
    text = f"rule run\n  command = {task.command}\n{builds}"
    (task.directory / "build.ninja").write_text(text)
    return timed(["ninja", "--quiet", f"-j{task.at_once}"], task)


DODO = """
import json

with open("graph.json") as file:
    graph = json.load(file)


def task_job():
    for job, waits_for in enumerate(graph):
        yield {
            "name": str(job),
            "actions": [[COMMAND]],
            "task_dep": [f"job:{k}" for k in waits_for],
        }
"""


def doit(task: Task) -> float:
    (task.directory / "graph.json").write_text(json.dumps([list(w) for w in task.graph]))
    (task.directory / "dodo.py").write_text(DODO.replace("COMMAND", repr(task.command)))
    return timed(["doit", "-n", str(task.at_once), "-P", "thread", "-v", "0"], task)


def snakemake(task: Task) -> float:
    # Snakemake knows files only; that it makes them itself is the cheapest way.
    everything = ", ".join(f"'o{job}'" for job in range(len(task.graph)))
    rules = "".join(
        f"rule t{job}:\n"
        f"    input: {[f'o{k}' for k in waits_for]}\n"
        f"    output: touch('o{job}')\n"
        f"    shell: '{task.command}'\n"
        for job, waits_for in enumerate(task.graph)
    )
    (task.directory / "Snakefile").write_text(f"rule all:\n    input: {everything}\n{rules}")
    return timed(["snakemake", "--cores", str(task.at_once), "--quiet", "all"], task)


def _lines(task: Task) -> str | None:
    if any(task.graph):
        return None
    return "".join(f"{job}\n" for job in range(len(task.graph)))


def xargs(task: Task) -> float | None:
    lines = _lines(task)
    if lines is None:
        return None
    return timed(["xargs", "-P", str(task.at_once), "-n", "1", task.command], task, stdin=lines)


def parallel(task: Task) -> float | None:
    lines = _lines(task)
    if lines is None:
        return None
    words = ["parallel", "--will-cite", "-j", str(task.at_once), f"{task.command} {{}}"]
    return timed(words, task, stdin=lines)
