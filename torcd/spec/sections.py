"""The sections of a spec whose items may become several: for parameters, and then for elements."""

from collections.abc import Mapping

from torcd import model
from torcd.spec.elements import Element
from torcd.spec.names import Namespace
from torcd.spec.parameters import Reader
from torcd.spec.problems import Finding
from torcd.spec.schema import FileSpec, JobSpec, UserDataSpec, WorkflowSpec
from torcd.spec.templates import Budget
from torcd.spec.unfolding import Copied, Fold, Section, Standing, Unfolded
from torcd.spec.unrolling import Unrolled
from torcd.value import Value

MAX_FILES = 1_000_000
MAX_USER_DATA = 1_000_000


class Sections:
    """The sections of a spec, with one item for each combination of parameters, and then for each
    element."""

    def __init__(self, spec: WorkflowSpec) -> None:
        reader = Reader(spec.parameters)
        budget = Budget()
        self._jobs = Unrolled("jobs", spec.jobs or (), reader, budget)
        self._files = Unrolled("files", spec.files or (), reader, budget)
        self._user_data = Unrolled("user_data", spec.user_data or (), reader, budget)
        self.jobs: Copied[JobSpec] = self._jobs
        self.files: Copied[FileSpec] = self._files
        self.user_data: Copied[UserDataSpec] = self._user_data
        self.folds: Mapping[int, Fold] = {}
        self.elements: Mapping[int, tuple[int, Element]] = {}
        self.standing: Mapping[model.Kind, Standing] = {}
        self.findings = [
            *reader.findings,
            *self._jobs.findings,
            *self._files.findings,
            *self._user_data.findings,
        ]

    def unfold(
        self, spec: WorkflowSpec, values: Mapping[str, Value], max_jobs: int
    ) -> list[Finding]:
        most: dict[Section, int] = {
            "jobs": max_jobs,
            "files": MAX_FILES,
            "user_data": MAX_USER_DATA,
        }
        unfolded = Unfolded(spec, self._jobs, self._files, self._user_data, values, most)
        self.jobs, self.files = unfolded.jobs, unfolded.files
        self.user_data = unfolded.user_data
        self.folds, self.elements = unfolded.folds, unfolded.elements
        self.standing = unfolded.standing
        return unfolded.findings

    def namespaces(self, first_key: int) -> tuple[Namespace, Namespace, Namespace]:
        """Of jobs, files and user_data, with keys in this order from `first_key` on."""
        jobs, files, user_data = self.jobs, self.files, self.user_data
        first_file = first_key + jobs.count
        first_data = first_file + files.count
        standing = self.standing.get
        names = jobs.names("job"), files.names("file"), user_data.names("user_data")
        return (
            Namespace("job", "jobs", names[0], first_key, jobs.origins, standing("job")),
            Namespace("file", "files", names[1], first_file, files.origins, standing("file")),
            Namespace(
                "user_data",
                "user_data",
                names[2],
                first_data,
                user_data.origins,
                standing("user_data"),
            ),
        )

    def too_many(self, max_jobs: int) -> list[Finding]:
        gates = sum(1 for fold in self.folds.values() if fold.count)
        return [
            Finding((section,), f"the workflow has {count} {section}, and may have {most}")
            for section, count, most in (
                ("jobs", self.jobs.count - gates, max_jobs),
                ("files", self.files.count, MAX_FILES),
                ("user_data", self.user_data.count, MAX_USER_DATA),
            )
            if count > most
        ]

    def explains(self, finding: Finding) -> bool:
        """Whether a name is unknown perhaps only since wrong parameters made none."""
        match finding.namespace:
            case "jobs":
                return self._jobs.may_miss(finding.name)
            case "files":
                return self._files.may_miss(finding.name)
            case "user_data":
                return self._user_data.may_miss(finding.name)
            case _:
                return False
