"""Who is served when: the workflows some of whose jobs ask for a share of the machine.

They stand in a line while one of their jobs is held up, that is, could start but for its share.
When something is given back, each in the line may choose one job that asks, and who did goes to
the end; so it goes round until nobody finds what fits. Two workflows of equal jobs share the
machine evenly, whichever came first. When nothing was given back, only the workflow in which
something happened is looked at.

The rule by which one is passed over, and when it has a claim, is in `choosing`.
"""

from torcd.model import Timestamp, WorkflowKey
from torcd.scheduler import choosing
from torcd.scheduler.commands import Command
from torcd.scheduler.memory import Memory
from torcd.scheduler.nodes import Queue
from torcd.scheduler.state import WorkflowNode
from torcd.scheduler.turn import Turn


def serve(memory: Memory, at: Timestamp) -> list[Command]:
    """Start what may start now, after the event in which something happened to a workflow."""
    line = memory.line
    if memory.is_loading:
        return []  # what runs already is not all known yet
    commands: list[Command] = []
    to_serve = line.touched
    line.touched = {}
    while to_serve or line.has_gained:
        if line.has_gained:
            line.has_gained = False
            to_serve = {**line.nodes, **to_serve}
        served: dict[WorkflowKey, WorkflowNode] = {}
        for key, node in to_serve.items():
            turn = Turn(memory, node, at)
            if _start_some(memory, turn):
                served[key] = node
                if line.nodes.pop(key, None) is not None:
                    line.nodes[key] = node
            commands += turn.commands
        to_serve = served
    return commands


def _start_some(memory: Memory, turn: Turn) -> bool:
    """Jobs up to and including one that asks; says whether there was one."""
    line = memory.line
    node = turn.node
    if not turn.may_start:
        line.leave(node)
        node.held_up_since = None
        return False
    while True:
        is_own = line.claimant is node
        claim = line.claim if line.claimant is not None else None
        queue, held_up = choosing.choose(node, memory.ledger, claim, is_own_claim=is_own)
        if held_up is not None and held_up.share is not None and not is_own:
            if node.held_up_since is None:
                node.held_up_since = line.starts
            if line.claimant is None and line.starts - node.held_up_since >= choosing.PATIENCE:
                line.claimant = node
                line.claim = held_up.share
                continue
        job = choosing.take_next(queue) if queue is not None else None
        if queue is None or job is None:
            _stay_or_leave(memory, node, held_up)
            return False
        if queue.share is not None or held_up is not None:
            line.starts += 1
        if queue.share is not None and held_up is None:
            node.held_up_since = None
            line.give_up_claim(node)
        turn.start(job)
        if queue.share is not None:
            return True


def _stay_or_leave(memory: Memory, node: WorkflowNode, held_up: Queue | None) -> None:
    line = memory.line
    if held_up is None or held_up.share is None:
        line.leave(node)
        if not any(queue.heap for queue in node.asking):
            node.held_up_since = None
        return
    line.nodes.setdefault(node.key, node)
    if line.claimant is node and line.claim != held_up.share:
        # Another job is first now.
        line.claim = held_up.share
        line.has_gained = True
