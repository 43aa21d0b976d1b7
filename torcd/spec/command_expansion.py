"""The final commands of jobs: script, arguments and what placeholders stand for put in."""

from collections.abc import Mapping
from functools import partial

from torcd.spec import commands
from torcd.spec.names import Namespace
from torcd.spec.placeholders import Placeholder
from torcd.spec.problems import Finding, Path, quoted
from torcd.spec.references import Inputs
from torcd.spec.schema import Entry, JobSpec
from torcd.spec.texts import check_text

Command = str | tuple[str, ...]


class Commands:
    """Writes commands. `findings` gets what is wrong with them."""

    def __init__(
        self,
        files: Namespace,
        user_data: Namespace,
        replacements: Mapping[int, str],
        findings: list[Finding],
    ) -> None:
        """`replacements`: what stands for a file or a user_data on a command line, by its key."""
        self._files = files
        self._user_data = user_data
        self._replacements = replacements
        self._findings = findings
        self._known: dict[Command, Command] = {}
        self._complete: dict[Command, Command] = {}
        """Those of them that were so from the beginning."""

    def of(self, job: JobSpec, at: Path, inputs: Inputs) -> Command:
        """What its placeholders declare is added to `inputs`."""
        command = None
        if job.invocation_script is None and not names_data(job):
            command = self.complete(job.command)
        if command is None:
            command = self._command(job, at, inputs)
            command = self._known.setdefault(command, command)
        return command

    def complete(self, command: Command) -> Command | None:
        """The command of a job that says nothing else about it. None: it is for `of`."""
        # Jobs that run the same share its text.
        known = self._complete.get(command)
        if known is None and _is_complete(command):
            known = self._complete[command] = self._known.setdefault(command, command)
        return known

    def _command(self, job: JobSpec, at: Path, inputs: Inputs) -> Command:
        path, script_path = (*at, "command"), (*at, "invocation_script")
        script = (job.invocation_script or "").strip()
        if script:
            self._findings += check_text(script, script_path)
        if isinstance(job.command, str):
            if not job.command.strip():
                self._findings.append(Finding(path, "the command is empty"))
            self._findings += check_text(job.command, path)
        else:
            if not job.command or not job.command[0]:
                hint = "the first item is the program"
                self._findings.append(Finding(path, "the command is empty", hint))
            for n, word in enumerate(job.command):
                self._findings += check_text(word, (*path, n))
        arguments = self._arguments(job)
        if not (script or arguments or commands.has_placeholders(job.command)):
            return job.command

        def replacement(placeholder: Placeholder, word: int | None, place: Path = path) -> str:
            namespace = self._files if placeholder.kind == "files" else self._user_data
            place = place if word is None else (*place, word)
            key = namespace.keys.get(placeholder.name)
            if job.for_each is None and namespace.stands_for_elements(placeholder.name):
                message = f"{quoted(placeholder.name)} is one for each element"
                hint = f"name it in {placeholder.field}: that means all of them"
                self._findings.append(Finding(place, message, hint))
                return ""
            if key is None:
                self._findings.append(namespace.unknown(placeholder.name, place))
                return ""
            getattr(inputs, placeholder.field)[key] = None
            return self._replacements[key]

        return commands.assembled(
            job.command,
            script=commands.substituted(script, partial(replacement, place=script_path)),
            arguments=arguments,
            replacement=replacement,
        )

    def _arguments(self, job: JobSpec) -> list[str]:
        """`CLI_ARG=PATH` of the entries that ask for it."""
        return [
            f"{entry.cli_arg}={self._replacements[key]}"
            for namespace, references in (
                (self._files, job.input_files),
                (self._files, job.output_files),
                (self._user_data, job.input_user_data),
                (self._user_data, job.output_user_data),
            )
            if references
            for entry in references
            if isinstance(entry, Entry) and entry.cli_arg is not None
            for key in namespace.find(entry.name) or ()
        ]


def _is_complete(command: Command) -> bool:
    """Nothing is wrong with it, or to be put in. As a rule: it is a text of some words."""
    return (
        isinstance(command, str)
        and not commands.has_placeholders(command)
        and "\0" not in command
        and command != ""
        and not command.isspace()
    )


def names_data(job: JobSpec) -> bool:
    """It has files or user_data in its lists."""
    return bool(job.input_files or job.output_files or job.input_user_data or job.output_user_data)
