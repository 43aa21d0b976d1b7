"""Workflows that are over: archived, and deleted."""

import pytest

from torcd.errors import UnknownWorkflow, WrongState
from torcd.model import Happening
from torcd.scheduler import events as e
from torcd.scheduler.commands import RemoveWorkflow, SaveWorkflow

from .play import Play
from .specs import job


def over() -> Play:
    play = Play(a=job())
    play.exits("a")
    return play


def delete(play: Play) -> None:
    play.tell(e.DeleteRequested(play.workflow.key, play.now))


def archive(play: Play, archived: bool = True) -> None:
    play.tell(e.ArchiveRequested(workflow_key=play.workflow.key, archived=archived, at=play.now))


def test_a_deleted_workflow_is_forgotten_and_that_is_told() -> None:
    play = over()
    delete(play)
    assert [c for c in play.last if isinstance(c, RemoveWorkflow)]
    assert [c.kind for c in play.last if isinstance(c, Happening)] == ["workflow_deleted"]
    assert play.scheduler.workflows == {}
    with pytest.raises(UnknownWorkflow):
        delete(play)


def test_its_keys_are_not_used_again() -> None:
    play = over()
    before = play.scheduler.next_key
    delete(play)
    assert play.scheduler.next_key == before


def test_what_is_not_over_is_neither_deleted_nor_archived() -> None:
    play = Play(a=job())
    for refused in (delete, archive):
        with pytest.raises(WrongState, match="is running"):
            refused(play)


def test_an_archived_one_comes_back() -> None:
    play = over()
    archive(play)
    assert [c.archived for c in play.last if isinstance(c, SaveWorkflow)] == [True]
    archive(play)
    assert play.last == []
    archive(play, archived=False)
    assert [c.archived for c in play.last if isinstance(c, SaveWorkflow)] == [False]
