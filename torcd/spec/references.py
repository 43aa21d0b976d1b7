"""What jobs name: each name is looked up among those of its kind.

A name that is not there becomes a finding. One that stands for several, as those of the copies for
elements do, is waited for like what a regex has found (`regexes`).
"""

from collections.abc import Sequence
from typing import TypeVar, cast

import msgspec

from torcd import model
from torcd.spec.names import Namespace
from torcd.spec.problems import Finding, Path, quoted
from torcd.spec.regexes import Regexes
from torcd.spec.schema import Entry, JobSpec, Reference
from torcd.spec.texts import check_text
from torcd.spec.unfolding import Fold

Key = TypeVar("Key", model.JobKey, model.FileKey, model.DataKey)


class Inputs(msgspec.Struct):
    """What one job refers to: keys, each once, in the order they were named."""

    depends_on: dict[model.JobKey, None] = {}
    input_files: dict[model.FileKey, None] = {}
    output_files: dict[model.FileKey, None] = {}
    input_user_data: dict[model.DataKey, None] = {}
    output_user_data: dict[model.DataKey, None] = {}


class References:
    """Looks names up. `findings` gets what is wrong with them."""

    def __init__(
        self,
        jobs: Namespace,
        files: Namespace,
        user_data: Namespace,
        regexes: Regexes,
        findings: list[Finding],
    ) -> None:
        self._jobs = jobs
        self._files = files
        self._user_data = user_data
        self._regexes = regexes
        self._findings = findings

    def of(self, n: int, origin: int, job: JobSpec) -> Inputs:
        """What the job's lists name. What its command and its regexes do is not in it."""
        # Of most jobs most fields are absent: what these would cost is not done.
        at: Path = ("jobs", origin)
        inputs = Inputs()
        if job.depends_on:
            self._look_up(n, self._jobs, job.depends_on, (*at, "depends_on"), inputs.depends_on)
        if job.blocked_by is not None or job.blocked_by_regexes is not None:
            self._check_old_names(job, at)
            path = (*at, "blocked_by")
            self._look_up(n, self._jobs, job.blocked_by or (), path, inputs.depends_on)
        if job.input_files or job.output_files:
            for field, references, into in (
                ("input_files", job.input_files, inputs.input_files),
                ("output_files", job.output_files, inputs.output_files),
            ):
                self._look_up(n, self._files, references or (), (*at, field), into)
        if job.input_user_data or job.output_user_data:
            for field, references, values in (
                ("input_user_data", job.input_user_data, inputs.input_user_data),
                ("output_user_data", job.output_user_data, inputs.output_user_data),
            ):
                self._look_up(n, self._user_data, references or (), (*at, field), values)
        return inputs

    def plain(self, names: Sequence[str]) -> dict[model.JobKey, None] | None:
        """The jobs of these names, if there is nothing to be said about them; None: it is for
        `of`."""
        return cast("dict[model.JobKey, None] | None", self._jobs.find_plain(names))

    def for_each(self, fold: Fold, origin: int) -> model.ForEach:
        path = ("jobs", origin, "for_each")
        key = self._user_data.keys.get(fold.data, 0)
        if not key and not self._user_data.stands_for_elements(fold.data):
            self._findings.append(self._user_data.unknown(fold.data, path))
        return model.ForEach(
            data=model.DataKey(key),
            sha256=None if fold.elements is None else fold.elements.sha256,
            count=fold.count,
        )

    def _check_old_names(self, job: JobSpec, at: Path) -> None:
        for new, old in (
            ("depends_on", "blocked_by"),
            ("depends_on_regexes", "blocked_by_regexes"),
        ):
            if getattr(job, new) is not None and getattr(job, old) is not None:
                message = f"`{old}` is the old name of `{new}`, which is there too"
                self._findings.append(Finding((*at, old), message, f"write all of it in {new}"))

    def _look_up(
        self,
        n: int,
        namespace: Namespace,
        references: Sequence[Reference],
        path: Path,
        into: dict[Key, None],
    ) -> None:
        plain = None if into else namespace.find_plain(references)
        if plain is not None:
            into.update(cast("dict[Key, None]", plain))
            return
        for at, reference in enumerate(references):
            name = reference if isinstance(reference, str) else reference.name
            keys = namespace.find(name)
            if isinstance(reference, Entry):
                self._findings += check_text(reference.cli_arg or "", (*path, at, "cli_arg"))
            if keys is None:
                place = (*path, at) if isinstance(reference, str) else (*path, at, "name")
                self._findings.append(namespace.unknown(name, place))
            elif len(keys) > 1:
                self._look_up_several(n, keys, path, into)
            elif cast("Key", keys[0]) in into:
                message = f"{namespace.kind} {quoted(name)} is named twice"
                self._findings.append(Finding((*path, at), message, severity="warning"))
            else:
                into[cast("Key", keys[0])] = None

    def _look_up_several(
        self, n: int, keys: tuple[int, ...], path: Path, into: dict[Key, None]
    ) -> None:
        """What is waited for may be a group; what is made may not."""
        match path:
            case (_, int(origin), "depends_on" | "blocked_by"):
                self._regexes.add_several(n, origin, "depends_on", keys)
            case (_, int(origin), "input_files"):
                self._regexes.add_several(n, origin, "input_files", keys)
            case (_, int(origin), "input_user_data"):
                self._regexes.add_several(n, origin, "input_user_data", keys)
            case _:
                into.update(cast("dict[Key, None]", dict.fromkeys(keys)))
