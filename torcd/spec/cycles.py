"""Jobs that wait for one another, named in words."""

from collections.abc import Callable, Sequence

from torcd import graph, model, waiting
from torcd.spec.problems import Finding, quoted
from torcd.spec.regexes import Match

_REGEX_HINT = "a regex is searched for anywhere in a name; anchor it with ^ and $"

_SHOWN_AT_EACH_END = 10
"""How many steps of a long cycle a message names from its beginning, and from its end."""


def findings(
    workflow: model.Workflow, origins: Sequence[int], matches: Sequence[Match]
) -> list[Finding]:
    """A finding for each knot of jobs that can never start.

    `origins`: each job's place in the spec. `matches`: what the regexes of jobs have found.
    """
    if graph.goes_forward(workflow):
        return []
    found = graph.find_cycles(workflow, graph.gates(workflow))
    if not found:
        return []
    names: dict[int, str] = {job.key: job.name for job in workflow.jobs}
    names.update((file.key, file.name) for file in workflow.files)
    names.update((item.key, item.name) for item in workflow.user_data)
    jobs = {job.key: job for job in workflow.jobs}
    by_name = {
        workflow.jobs[match.job].key: match.named
        for match in matches
        if match.field == "depends_on_regexes"
    }
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
            _REGEX_HINT if any(map(is_by_regex, cycle)) else _hint(cycle),
        )
        for cycle in found
    ]


def _hint(cycle: graph.Cycle) -> str:
    if len(cycle) > 1:
        return "leave one of these dependencies out"
    if cycle[0].gate.kind == "job":
        return "leave it out of its own depends_on"
    return "name it as an input or as an output, not as both"


def _message(
    cycle: graph.Cycle, names: dict[int, str], is_by_regex: Callable[[graph.Link], bool]
) -> str:
    steps = [quoted(names[cycle[0].producer])]
    for link in cycle:
        kind = link.gate.kind
        assert kind != "group"
        by = "depends_on_regexes" if is_by_regex(link) else "depends_on"
        how = "added by it"
        if kind != "added":
            how = waiting.why(kind, quoted(names[link.gate.subject]), by)
        steps.append(f"{quoted(names[link.consumer])} ({how})")
    left_out = len(steps) - 2 * _SHOWN_AT_EACH_END
    if left_out > 1:
        steps[_SHOWN_AT_EACH_END:-_SHOWN_AT_EACH_END] = [f"… {left_out} more …"]
    if len(cycle) == 1:
        return f"the job waits for itself: {' -> '.join(steps)}"
    return f"jobs wait for one another: {' -> '.join(steps)}"
