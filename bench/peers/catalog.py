"""Which peers there are, and which of them can be had here."""

from bench.figures import Skipped
from bench.peers import Peer, command_lines, environment, services


def found() -> tuple[tuple[Peer, ...], list[Skipped]]:
    """The peers that work here, and those that don't."""
    by_program = {
        "make": (command_lines.make, False),
        "ninja": (command_lines.ninja, True),
        "xargs": (command_lines.xargs, False),
        "parallel": (command_lines.parallel, False),
    }
    by_package = {
        "hyperqueue": services.hyperqueue,
        "dask": services.dask,
        "parsl": services.parsl,
        "doit": command_lines.doit,
        "snakemake": command_lines.snakemake,
    }
    peers, missing = [], []
    for name, (run, is_to_be_beaten) in by_program.items():
        version = environment.program_version(name)
        if version is None:
            missing.append(Skipped("", name, "it is not installed (make bench does)"))
        else:
            peers.append(Peer(name=name, version=version, run=run, is_to_be_beaten=is_to_be_beaten))
    for name, run in by_package.items():
        version = environment.python_version(environment.PYTHON_PACKAGES[name][-1])
        if version is None:
            missing.append(Skipped("", name, "it is not installed (make bench does)"))
        else:
            peers.append(Peer(name=name, version=version, run=run, is_to_be_beaten=True))
    return tuple(peers), missing
