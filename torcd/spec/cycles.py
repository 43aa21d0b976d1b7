"""Jobs that wait for one another, named in words."""

from collections.abc import Sequence

from torcd import graph, model
from torcd.spec.problems import Finding, quoted

_SHOWN_AT_EACH_END = 10
"""How many steps of a long cycle a message names from its beginning, and from its end."""


def findings(workflow: model.Workflow, origins: Sequence[int]) -> list[Finding]:
    """A finding for each knot of jobs that can never start. `origins`: each job's place in the
    spec."""
    found = graph.find_cycles(workflow, graph.gates(workflow))
    if not found:
        return []
    names: dict[int, str] = {job.key: job.name for job in workflow.jobs}
    names.update((file.key, file.name) for file in workflow.files)
    names.update((item.key, item.name) for item in workflow.user_data)
    places = {job.key: n for job, n in zip(workflow.jobs, origins, strict=True)}
    return [Finding(("jobs", places[c[0].producer]), _message(c, names)) for c in found]


def _message(cycle: graph.Cycle, names: dict[int, str]) -> str:
    steps = [quoted(names[cycle[0].producer])]
    for link in cycle:
        how = "by depends_on"
        if link.gate.kind != "job":
            how = f"through {link.gate.kind} {quoted(names[link.gate.subject])}"
        steps.append(f"{quoted(names[link.consumer])} ({how})")
    left_out = len(steps) - 2 * _SHOWN_AT_EACH_END
    if left_out > 1:
        steps[_SHOWN_AT_EACH_END:-_SHOWN_AT_EACH_END] = [f"… {left_out} more …"]
    if len(cycle) == 1:
        return f"the job waits for itself: {' -> '.join(steps)}"
    return f"jobs wait for one another: {' -> '.join(steps)}"
