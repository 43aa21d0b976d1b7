"""Whether this machine has what jobs ask for. Looks at the machine: for the client's side."""

from torcd import machine
from torcd.spec.amounts import memory_bytes
from torcd.spec.problems import Finding
from torcd.spec.schema import WorkflowSpec


def findings(spec: WorkflowSpec) -> list[Finding]:
    """A warning for each of the resource_requirements that asks for more than there is. The
    daemon may run elsewhere, or have been told otherwise."""
    has = machine.capacity()
    found = []
    for n, item in enumerate(spec.resource_requirements or ()):
        memory = None if item.memory is None else memory_bytes(item.memory)
        for field, asked, there, unit in (
            ("num_cpus", item.num_cpus, has.cpus, "CPUs"),
            ("memory", memory, has.memory_bytes, "bytes of memory"),
            ("num_gpus", item.num_gpus, has.gpus, "GPUs"),
        ):
            if (asked or 0) > there:
                message = f"asks for {asked} {unit}, and this machine has {there}"
                path = ("resource_requirements", n, field)
                found.append(Finding(path, message, severity="warning"))
    return found
