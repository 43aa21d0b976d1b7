"""Jobs that wait for one another, named in words."""

from collections.abc import Callable, Mapping, Sequence

from torcd import graph, model
from torcd.spec.problems import Finding, quoted

_HINT = "a regex is searched for anywhere in a name; anchor it with ^ and $"

_SHOWN_AT_EACH_END = 10
"""How many steps of a long cycle a message names from its beginning, and from its end."""


def findings(
    workflow: model.Workflow, origins: Sequence[int], by_name: Mapping[int, int]
) -> list[Finding]:
    """A finding for each knot of jobs that can never start.

    `origins`: each job's place in the spec. `by_name`: see `regexes.Resolved`.
    """
    found = graph.find_cycles(workflow, graph.gates(workflow))
    if not found:
        return []
    names: dict[int, str] = {job.key: job.name for job in workflow.jobs}
    names.update((file.key, file.name) for file in workflow.files)
    names.update((item.key, item.name) for item in workflow.user_data)
    jobs = {job.key: job for job in workflow.jobs}
    places = {job.key: n for job, n in zip(workflow.jobs, origins, strict=True)}

    def is_by_regex(link: graph.Link) -> bool:
        named = by_name.get(link.consumer)
        return (
            link.gate.kind == "job"
            and named is not None
            and (
                link.group is not None
                or link.producer not in jobs[link.consumer].depends_on[:named]
            )
        )

    return [
        Finding(
            ("jobs", places[cycle[0].producer]),
            _message(cycle, names, is_by_regex),
            _HINT if any(map(is_by_regex, cycle)) else None,
        )
        for cycle in found
    ]


def _message(
    cycle: graph.Cycle, names: dict[int, str], is_by_regex: Callable[[graph.Link], bool]
) -> str:
    steps = [quoted(names[cycle[0].producer])]
    for link in cycle:
        how = "by depends_on_regexes" if is_by_regex(link) else "by depends_on"
        if link.gate.kind != "job":
            how = f"through {link.gate.kind} {quoted(names[link.gate.subject])}"
        steps.append(f"{quoted(names[link.consumer])} ({how})")
    left_out = len(steps) - 2 * _SHOWN_AT_EACH_END
    if left_out > 1:
        steps[_SHOWN_AT_EACH_END:-_SHOWN_AT_EACH_END] = [f"… {left_out} more …"]
    if len(cycle) == 1:
        return f"the job waits for itself: {' -> '.join(steps)}"
    return f"jobs wait for one another: {' -> '.join(steps)}"
