"""Whether this machine has what jobs ask for. Looks at the machine: for the client's side."""

from torcd import amount, machine
from torcd.spec.problems import Finding
from torcd.spec.schema import WorkflowSpec


def findings(spec: WorkflowSpec) -> list[Finding]:
    """A warning for each of the resource_requirements that asks for more than there is. The daemon,
    which may have been told otherwise, says so of the jobs when the workflow is submitted."""
    has = machine.capacity()
    text = amount.memory_text
    found = []
    for n, item in enumerate(spec.resource_requirements or ()):
        cpus, memory, gpus = item.num_cpus or 0, _memory_bytes(item.memory), item.num_gpus or 0
        for field, is_too_much, asked, there in (
            ("num_cpus", cpus > has.cpus, f"{cpus} CPUs", has.cpus),
            (
                "memory",
                memory > has.memory_bytes,
                f"{text(memory)} of memory",
                text(has.memory_bytes),
            ),
            ("num_gpus", gpus > has.gpus, "1 GPU" if gpus == 1 else f"{gpus} GPUs", has.gpus),
        ):
            if is_too_much:
                message = f"asks for {asked}, and this machine has {there}"
                path = ("resource_requirements", n, field)
                found.append(Finding(path, message, severity="warning"))
    return found


def _memory_bytes(text: str | None) -> int:
    """0, too, for what is no amount: that is told of elsewhere."""
    try:
        return 0 if text is None else amount.memory_bytes(text)
    except ValueError:
        return 0
