"""`torcctl submit`: hand a workflow over and return."""

import click

from torcctl import specfile
from torcctl.invocation import Invocation, write
from torcctl.options import Command, pass_invocation
from torcctl.render import jsontext


@click.command(
    "submit",
    cls=Command,
    short_help="Submit a workflow and print its key.",
    example="key=$(torcctl submit diamond.yaml)\ntorcctl -k $key wait",
)
@specfile.argument
@specfile.max_parallel_jobs_option
@specfile.wait_for_inputs_option
@specfile.format_option
@pass_invocation
def command(
    invocation: Invocation,
    spec: str,
    max_parallel_jobs: int | None,
    wait_for_inputs: bool,
    spec_format: str | None,
) -> None:
    """Submit a workflow and print its key.

    Returns once the workflow is on disk for good; its jobs run without torcctl.
    """
    file = specfile.read(spec, spec_format)
    submitted = specfile.submit(
        invocation, file, max_parallel_jobs=max_parallel_jobs, wait_for_inputs=wait_for_inputs
    )
    if invocation.as_json:
        shape = {"key": submitted.key, "name": submitted.name, "jobs": submitted.jobs}
        write(jsontext.document(shape))
    else:
        write(f"{submitted.key}\n".encode())
