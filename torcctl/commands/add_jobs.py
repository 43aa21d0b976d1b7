"""`torcctl add-jobs`: a job adds jobs to its own workflow."""

import os

import click
import msgspec

from torcctl import specfile
from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcctl.render.changed import added_text
from torcd.errors import InvalidSpec, MissingInputs, NotInAJob
from torcd.protocol import manager as m


@click.command(
    "add-jobs",
    cls=Command,
    short_help="Add jobs to the workflow of the job that this runs in.",
    example="torcctl add-jobs parts.yaml\ngenerate-jobs | torcctl add-jobs -",
)
@specfile.argument
@specfile.format_option
@pass_invocation
def command(invocation: Invocation, spec: str, spec_format: str | None) -> None:
    """Add jobs to the workflow of the job that this runs in. All or nothing; it is on disk for good
    when this returns, and to say the same again changes nothing.

    SPEC has jobs, each with a name, and the files, user_data, resource_requirements,
    failure_handlers and parameters that they need. They may refer to what is in the workflow, and
    regexes of jobs that have not started match them.

    When the job runs again, jobs that it does not add again are removed when it ends well.
    """
    token = os.environ.get("TORC_TOKEN")
    if not token:
        raise NotInAJob(
            "only a job adds jobs, and this is none (TORC_TOKEN is not set); to add jobs by hand, "
            "edit the spec, and: torcctl apply SPEC -k KEY"
        )
    file = specfile.read(spec, spec_format, adds=True)
    for problem in file.document.warnings:
        invocation.say(str(problem))
    request = m.AddJobs(
        workflow=msgspec.Raw(msgspec.json.encode(file.document.spec)),
        token=token,
        workflow_key=invocation.key_option,
        directory=file.directory,
    )
    try:
        reply = invocation.call(request)
    except (InvalidSpec, MissingInputs) as e:
        # What only the daemon could see; it does not know where the spec comes from.
        raise type(e)(f"{file.path}: {e.message}", **e.facts) from None
    for warning in reply.warnings:
        invocation.say(f"warning: {warning}")
    invocation.print_object(reply, lambda: added_text(reply), said=True)
