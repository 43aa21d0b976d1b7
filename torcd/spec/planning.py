"""What a workflow would run, in which order, and why each job waits."""

from collections.abc import Mapping, Sequence

import msgspec

from torcd import graph, model
from torcd.spec.planned import (
    Awaited,
    FailureHandler,
    FailureRule,
    FileReference,
    Plan,
    PlannedAction,
    PlannedData,
    PlannedFile,
    PlannedGroup,
    PlannedJob,
    Resources,
)
from torcd.spec.regexes import Found, Match


def plan(workflow: model.Workflow, matches: Sequence[Match]) -> Plan:
    """The plan of a workflow; `matches` are what its regexes have found."""
    planner = _Planner(workflow, matches)
    stages = _stages(_without_gates(workflow))
    places = [place for place, job in enumerate(workflow.jobs) if job.key in stages]
    ordered = sorted(places, key=lambda place: stages[workflow.jobs[place].key])
    return Plan(
        name=workflow.name,
        description=workflow.description,
        user=workflow.user,
        directory=workflow.directory,
        env=workflow.env,
        jobs_sort_method=workflow.jobs_sort_method,
        stages=max(stages.values()),
        items=[planner.job(place, stages[workflow.jobs[place].key]) for place in ordered],
        groups=list(planner.groups.values()),
        files=list(planner.files.values()),
        user_data=list(planner.user_data.values()),
        actions=[
            PlannedAction(
                number=number,
                trigger_type=action.trigger,
                commands=action.commands,
                jobs=[planner.names[key] for key in action.jobs],
                persistent=action.persistent,
            )
            for number, action in enumerate(workflow.actions, start=1)
        ],
        failure_handlers=[
            FailureHandler(
                name=handler.name,
                rules=tuple(FailureRule(**msgspec.structs.asdict(rule)) for rule in handler.rules),
            )
            for handler in workflow.failure_handlers
        ],
    )


def _without_gates(workflow: model.Workflow) -> model.Workflow:
    """What says `for_each` and has elements is not seen."""
    if not any(job.is_unfolded for job in workflow.jobs):
        return workflow
    jobs = [
        job
        if job.element is None
        else msgspec.structs.replace(
            job, depends_on=tuple(key for key in job.depends_on if key != job.element.of)
        )
        for job in workflow.jobs
        if not job.is_unfolded
    ]
    return msgspec.structs.replace(workflow, jobs=tuple(jobs))


def _stages(workflow: model.Workflow) -> dict[model.JobKey, int]:
    gates = graph.gates(workflow)
    by_subject: dict[int, graph.Gate] = {gate.subject: gate for gate in gates}
    awaited: dict[model.JobKey, list[graph.Gate]] = {}
    for gate in gates:
        for consumer in gate.consumers:
            awaited.setdefault(consumer, []).append(gate)
    stages: dict[model.JobKey, int] = {}
    last: dict[int, int] = {}
    """Of each gate: the last stage of its producers. All have one when its first consumer comes."""

    def last_before(gate: graph.Gate) -> int:
        found = last.get(gate.subject)
        if found is None:
            members = (last_before(by_subject[member]) for member in gate.members)
            producers = (stages[producer] for producer in gate.producers)
            found = max((*members, *producers), default=0)
            last[gate.subject] = found
        return found

    for key in graph.topological_order(workflow, gates):
        stages[key] = 1 + max(map(last_before, awaited.get(key, ())), default=0)
    return stages


class _Planner:
    def __init__(self, workflow: model.Workflow, matches: Sequence[Match]) -> None:
        self._workflow = workflow
        self.names: dict[int, str] = {job.key: job.name for job in workflow.jobs}
        producers: dict[int, list[str]] = {}
        for job in workflow.jobs:
            for subject in (*job.output_files, *job.output_user_data):
                producers.setdefault(subject, []).append(job.name)
        self.files: dict[int, PlannedFile] = {
            file.key: PlannedFile(
                name=file.name, path=file.path, producers=producers.get(file.key, [])
            )
            for file in workflow.files
        }
        self.user_data: dict[int, PlannedData] = {
            item.key: PlannedData(
                name=item.name,
                has_data=item.data is not None,
                is_ephemeral=item.is_ephemeral,
                available=item.available,
                producers=producers.get(item.key, []),
            )
            for item in workflow.user_data
        }
        self.groups: dict[int, PlannedGroup] = {}
        """By the identity of what was found, which many jobs share."""
        self._matches: dict[int, dict[str, Match]] = {}
        for match in matches:
            self._matches.setdefault(match.job, {})[match.field] = match
        self._references: dict[int, FileReference] = {}
        self._awaited: dict[tuple[int, str, tuple[str, ...]], Awaited] = {}
        self._resources: dict[int, Resources] = {}

    def job(self, place: int, stage: int) -> PlannedJob:
        job = self._workflow.jobs[place]
        matches = self._matches.get(place, {})
        depends_on = [
            key
            for key in _named(job.depends_on, matches.get("depends_on_regexes"))
            if job.element is None or key != job.element.of
        ]
        input_files = _named(job.input_files, matches.get("input_file_regexes"))
        input_user_data = _named(job.input_user_data, matches.get("input_user_data_regexes"))
        return PlannedJob(
            stage=stage,
            name=job.name,
            command=job.command,
            cwd=job.cwd or self._workflow.directory,
            env=job.env,
            stdio=job.stdio,
            priority=job.priority,
            cancel_on_blocking_job_failure=job.cancel_on_blocking_job_failure,
            supports_termination=job.supports_termination,
            resources=self._complete(job.resources),
            failure_handler=job.failure_handler,
            scheduler=job.scheduler,
            for_each=None if job.for_each is None else self.user_data[job.for_each.data].name,
            input_files=[self._reference(key) for key in input_files],
            output_files=[self._reference(key) for key in job.output_files],
            input_user_data=[self.user_data[key].name for key in input_user_data],
            output_user_data=[self.user_data[key].name for key in job.output_user_data],
            waits_for=[
                *self._things("job", depends_on, "depends_on"),
                *self._found("job", matches.get("depends_on")),
                *self._found("job", matches.get("depends_on_regexes")),
                *self._things("file", input_files, "input_files"),
                *self._found("file", matches.get("input_files")),
                *self._found("file", matches.get("input_file_regexes")),
                *self._things("user_data", input_user_data, "input_user_data"),
                *self._found("user_data", matches.get("input_user_data")),
                *self._found("user_data", matches.get("input_user_data_regexes")),
            ],
        )

    def _things(self, kind: model.Kind, keys: Sequence[int], by: str) -> list[Awaited]:
        """Without values that are there from the beginning."""
        found = []
        for key in keys:
            thing = self._awaited.get((key, by, ()))
            if thing is None:
                jobs, must_exist = self._made_by(kind, (key,))
                thing = Awaited(
                    kind=kind,
                    name=self._name(kind, key),
                    group=None,
                    by=by,
                    regexes=None,
                    jobs=jobs,
                    must_exist=must_exist,
                )
                self._awaited[key, by, ()] = thing
            if thing.jobs or thing.must_exist:
                found.append(thing)
        return found

    def _found(self, kind: model.Kind, match: Match | None) -> list[Awaited]:
        if match is None or not match.found.keys:
            return []
        group = self._group(kind, match.found)
        known = self._awaited.get((-group.number, match.field, match.regexes))
        if known is None:
            known = Awaited(
                kind=kind,
                name=None,
                group=group.number,
                by=match.field,
                regexes=match.regexes,
                jobs=group.jobs,
                must_exist=group.must_exist,
            )
            self._awaited[-group.number, match.field, match.regexes] = known
        return [known] if known.jobs or known.must_exist else []

    def _group(self, kind: model.Kind, found: Found) -> PlannedGroup:
        group = self.groups.get(id(found))
        if group is None:
            jobs, must_exist = self._made_by(kind, found.keys)
            group = PlannedGroup(
                number=len(self.groups) + 1,
                kind=kind,
                names=[self._name(kind, key) for key in found.keys],
                jobs=jobs,
                must_exist=must_exist,
            )
            self.groups[id(found)] = group
        return group

    def _made_by(self, kind: model.Kind, keys: Sequence[int]) -> tuple[int, int]:
        """How many jobs make these things, and how many of the things have to be there."""
        if kind == "job":
            return len(keys), 0
        things: Mapping[int, PlannedFile | PlannedData] = (
            self.files if kind == "file" else self.user_data
        )
        makers: set[str] = set()
        must_exist = 0
        for thing in map(things.__getitem__, keys):
            makers.update(thing.producers)
            if not thing.producers and not (isinstance(thing, PlannedData) and thing.has_data):
                must_exist += 1
        return len(makers), must_exist

    def _name(self, kind: model.Kind, key: int) -> str:
        if kind == "job":
            return self.names[key]
        return self.files[key].name if kind == "file" else self.user_data[key].name

    def _reference(self, key: int) -> FileReference:
        found = self._references.get(key)
        if found is None:
            file = self.files[key]
            found = self._references[key] = FileReference(name=file.name, path=file.path)
        return found

    def _complete(self, resources: model.Resources | None) -> Resources | None:
        """Jobs share what they ask for, as they do in the workflow."""
        if resources is None:
            return None
        found = self._resources.get(id(resources))
        if found is None:
            found = Resources(**msgspec.structs.asdict(resources))
            self._resources[id(resources)] = found
        return found


def _named(keys: Sequence[int], match: Match | None) -> Sequence[int]:
    """Those that the job names itself: they come before what its regex has found."""
    return keys if match is None else keys[: match.named]
