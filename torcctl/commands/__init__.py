"""The commands, one module each, imported when it is run or its help is asked for.

`SECTIONS` lists them with their one-line help as `torcctl --help` shows them, so that this costs no
import; a command's own help begins with the same words.
"""

import importlib

import click

SECTIONS: dict[str, dict[str, str]] = {
    "Run a workflow": {
        "run": "Submit a workflow and follow it to its end.",
        "submit": "Submit a workflow and print its key.",
        "validate": "Check a workflow spec.",
        "plan": "Show what a spec would run, in which order.",
    },
    "Look": {
        "ls": "List workflows.",
        "status": "Show how a workflow stands.",
        "jobs": "List the jobs of a workflow.",
        "results": "List attempts: how each ended and what it used.",
        "actions": "List the actions of a workflow.",
        "files": "List the files of a workflow.",
        "events": "List or follow what happens.",
        "logs": "Print what a job or an action wrote.",
        "explain": "Say why a job is where it is, and what would move it.",
        "collections": "Join jobs with their data, files and results.",
    },
    "Steer": {
        "wait": "Wait for a workflow to end.",
        "cancel": "Cancel a workflow or some of its jobs.",
        "pause": "Start no more jobs of a workflow.",
        "resume": "Start the jobs of a paused workflow again.",
        "restart": "Run a workflow again, but only what has to.",
        "retry": "Run jobs once more that ended badly, in the same run.",
        "apply": "Take an edited spec into a workflow.",
        "add-jobs": "Add jobs to the workflow of the job that this runs in.",
        "disable": "Take jobs out that have not started.",
        "enable": "Put disabled jobs back.",
        "archive": "Put a workflow that is over out of sight.",
        "unarchive": "Put an archived workflow back.",
        "delete": "Delete a workflow with its results, values and logs.",
    },
    "Pass data": {
        "data": "Read and store user_data.",
    },
    "Set up": {
        "daemon": "Start, stop and look at the daemon.",
        "config": "Show and change the settings of torcctl.",
        "completions": "Print a script that completes torcctl's commands.",
    },
}

ALIASES = {"user-data": "data"}
"""Other names, which no list shows."""

NAMES = [name for section in SECTIONS.values() for name in section]


def load(name: str) -> click.Command | None:
    """The command of that name; None where there is none."""
    name = ALIASES.get(name, name)
    if name not in NAMES:
        return None
    command = importlib.import_module(f"torcctl.commands.{name.replace('-', '_')}").command
    if not isinstance(command, click.Command):
        raise TypeError(f"torcctl.commands.{name}.command is no command")
    return command
