"""Bugs that a careless hand might make in scheduler, controller and executor, planted one by one:
are they seen? `python -m tests.mutants [NAME…]`, or `make mutants`.

Each is planted in a copy of the tree, where the suites that ought to see it run until the first
failure. The exit code is 1 if a bug survives, and 2 if the code has changed so that one can no
longer be planted: then plant one like it.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

ROOT = Path(__file__).parent.parent

SIM = ("tests/sim",)
CONTROLLER = ("tests/unit/controller",)
CRASH = ("tests/crash/test_named_points.py",)
USERS = ("tests/integration/test_users.py", "tests/integration/test_users_apart.py")
CONTRACT = ("tests/contracts/test_executor_contract.py",)
FAULTS = ("tests/integration/test_warden_faults.py",)


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    file: str
    old: str
    new: str
    suites: tuple[str, ...] = SIM
    """Run in this order."""
    only: str = ""
    """Of these suites, tests with this in their name."""


EDITING = ("tests/unit/scheduler/test_editing.py", *SIM)

ADDING = ("tests/unit/scheduler/test_adding.py", "tests/sim/test_again.py")

UNFOLDING = ("tests/unit/scheduler/test_unfolding.py", *SIM)

SCHEDULER = [
    Mutant(
        name="a job is spared that was made for another element",
        file="torcd/scheduler/digests.py",
        old="    if job.element is not None:\n",
        new="    if False:\n",
        suites=UNFOLDING,
    ),
    Mutant(
        name="jobs for elements that change what runs are never made",
        file="torcd/scheduler/turn.py",
        old="        self.node.being_made -= self.node.held_back\n",
        new="",
        suites=UNFOLDING,
    ),
    Mutant(
        name="a job runs before it is known whether it is for the same element",
        file="torcd/spec/expansion.py",
        old="            inputs.depends_on[element.of] = None\n",
        new="            pass\n",
        suites=("tests/unit/spec/test_for_each.py",),
    ),
    Mutant(
        name="jobs for elements are asked for at the end of every turn",
        file="torcd/scheduler/turn.py",
        old="                elif for_each.data not in node.being_made:\n",
        new="                else:\n",
        suites=UNFOLDING,
    ),
    Mutant(
        name="elements are those of the value as it is, and not as they were made",
        file="torcd/controller/unfolding.py",
        old="if row.sha256 == sha256]",
        new="if row.sha256]",
        suites=("tests/integration/test_for_each.py",),
        only="person",
    ),
    Mutant(
        name="what an earlier attempt had added starts before it is added again",
        file="torcd/scheduler/nodes.py",
        old="        return self.is_earlier\n",
        new="        return False\n",
        suites=ADDING,
    ),
    Mutant(
        name="what is not added again stays",
        file="torcd/scheduler/reporting.py",
        old="    if event.withdrawal is not None and ended.status is JobStatus.COMPLETED:\n",
        new="    if event.withdrawal is not None and False:\n",
        suites=ADDING,
    ),
    Mutant(
        name="what is not added again is removed by an end that is a bad one",
        file="torcd/scheduler/reporting.py",
        old="    if event.withdrawal is not None and ended.status is JobStatus.COMPLETED:\n",
        new="    if event.withdrawal is not None:\n",
        suites=ADDING,
    ),
    Mutant(
        name="what runs while its adder is tried again has not seen what it read",
        file="torcd/scheduler/spreading.py",
        old="                or job.waits > job.rare.held\n",
        new="                or job.waits\n",
        suites=ADDING,
    ),
    Mutant(
        name="what was held goes on, though its adder failed",
        file="torcd/scheduler/spreading.py",
        old="            if status in ENDED_BADLY and job.job.cancel_on_blocking_job_failure:\n",
        new="            if False:\n",
        suites=ADDING,
    ),
    Mutant(
        name="an adder ends, and nobody works out what it has not added again",
        file="torcd/controller/withdrawing.py",
        old="        if not added or not any(",
        new="        if True or not any(",
        suites=("tests/integration/test_adding.py",),
        only="fewer",
    ),
    Mutant(
        name="an edit changes what runs",
        file="torcd/scheduler/edit_refusals.py",
        old="        elif key in other:\n",
        new="        elif False:\n",
        suites=EDITING,
    ),
    Mutant(
        name="an attempt is of the job as it was before an edit",
        file="torcd/scheduler/editing.py",
        old="            memory.attempts[job.state.attempt_key] = (node, job)\n",
        new="            pass\n",
        suites=EDITING,
    ),
    Mutant(
        name="a job that is another one is spared when its inputs are the same",
        file="torcd/scheduler/spreading.py",
        old="        if trace.definition != definition(self.node, job.job):\n",
        new="        if False:\n",
        suites=EDITING,
    ),
    Mutant(
        name="what comes after a failure is added, and waits for ever",
        file="torcd/scheduler/editing.py",
        old="    turn.take_up(absent)\n",
        new="",
        suites=EDITING,
    ),
    Mutant(
        name="a new daemon starts what was to come after another at once",
        file="torcd/scheduler/turn.py",
        old="        after = None if may_start else NO_ATTEMPT\n",
        new="        after = None\n",
    ),
    Mutant(
        name="what has started because its leader ended well runs on when that is canceled",
        file="torcd/scheduler/spreading.py",
        old="                self._stop_followers(job, state.attempt_key, stop)\n"
        "            case Pending() | Running()",
        new="            case Pending() | Running()",
    ),
    Mutant(
        name="what comes after another takes a place before it may start",
        file="torcd/scheduler/choosing.py",
        old=" - node.in_flight + node.following",
        new=" - node.in_flight",
        suites=("tests/unit/scheduler",),
    ),
    Mutant(
        name="others come after a job that reads a group of files",
        file="torcd/scheduler/following.py",
        old="any(map(_is_read, job.awaits))",
        new="job.job.input_files",
        suites=("tests/unit/scheduler",),
    ),
    Mutant(
        name="a new daemon forgets who came after what it was told to stop",
        file="torcd/scheduler/arriving.py",
        old="        turn.recall_followers()\n",
        new="",
        suites=("tests/unit/scheduler",),
    ),
    Mutant(
        name="a job that came after another has not seen it",
        file="torcd/scheduler/spreading.py",
        old="seen_by or self",
        new="self",
        suites=("tests/unit/scheduler",),
    ),
    Mutant(
        name="others come after a job that is to make something",
        file="torcd/scheduler/following.py",
        old="        and _makes_nothing(job)\n",
        new="",
    ),
    Mutant(
        name="a group is not spoiled with its member",
        file="torcd/scheduler/spreading.py",
        old="for spoiled in (gate, *gate.groups):",
        new="for spoiled in (gate,):",
    ),
    Mutant(
        name="a job that was canceled while it was ready is started",
        file="torcd/scheduler/choosing.py",
        old="""        job = heappop(queue.heap)[2]
        if isinstance(job.state, Ready):
            return job
    return None
""",
        new="""        return heappop(queue.heap)[2]
    return None
""",
    ),
    Mutant(
        name="an attempt that was taken back is counted",
        file="torcd/scheduler/turn.py",
        old="            job.attempt_id -= 1\n",
        new="",
    ),
    Mutant(
        name="a value that is stored again makes no new revision",
        file="torcd/scheduler/storing.py",
        old="    data.revision = revision = data.revision + 1\n",
        new="    data.revision = revision = data.revision + (not data.is_stored_in_run)\n",
    ),
    Mutant(
        name="a value for which somebody waits is only kept",
        file="torcd/scheduler/storing.py",
        old="gate is not None and (gate.is_input or gate.opens_early is not None)",
        new="False",
    ),
    Mutant(
        name="a job has seen what became another while it ran",
        file="torcd/scheduler/spreading.py",
        old="            or inputs.newest > attempt_key\n",
        new="",
    ),
    Mutant(
        name="a job that ran though what it waits for failed is up to date",
        file="torcd/scheduler/spreading.py",
        old="                or any(map(is_spoiled, job.awaits))\n            )\n",
        new="            )\n",
    ),
    Mutant(
        name="a job that may run is spared, whatever it would read",
        file="torcd/scheduler/spreading.py",
        old="        return is_same and not any(",
        new="        return not any(",
    ),
    Mutant(
        name="a restart forgets what it had spared if the daemon dies",
        file="torcd/scheduler/outbox.py",
        old="                may_skip=job.may_skip,\n",
        new="",
    ),
    Mutant(
        name="a job runs again where only who makes what it reads has changed",
        file="torcd/scheduler/digests.py",
        old="    return (trace.given + trace.made - now.given - now.made) % _MODULUS == 0\n",
        new="    return (trace.given, trace.made) == (now.given, now.made)\n",
        suites=EDITING,
    ),
    Mutant(
        name="what a job stores early opens nothing",
        file="torcd/scheduler/storing.py",
        old="(gate.is_input or gate.opens_early is not None)",
        new="gate.is_input",
    ),
    Mutant(
        name="what an input says is compared only where no job makes it",
        file="torcd/scheduler/planning.py",
        old="is_same = is_as_read(trace, now)",
        new="is_same = trace.given == now.given",
    ),
    Mutant(
        name="a job that rests is not woken by the next daemon",
        file="torcd/scheduler/arriving.py",
        old="    recovering.repeat(memory, node)\n",
        new="",
        suites=("tests/unit/scheduler",),  # in the simulation hardly anybody rests just then
    ),
    Mutant(
        name="a script that failed is taken for one that mended",
        file="torcd/scheduler/recovering.py",
        old="        if how is None:\n",
        new="        if True:\n",
        suites=("tests/unit/scheduler",),
    ),
    Mutant(
        name="a retried job leaves its consumers canceled by what it no longer is",
        file="torcd/scheduler/turn.py",
        old="        self._judge_anew(gates)\n",
        new="",
    ),
    Mutant(
        name="who has stored early and ends counts twice, and the gate opens before the others",
        file="torcd/scheduler/spreading.py",
        old="""                if gate.opens_early is None or not gate.has_stored(job):
                    self._lower(gate)
""",
        new="""                self._lower(gate)
""",
    ),
    Mutant(
        name="a stale report that an attempt was not started takes back one that runs",
        file="torcd/scheduler/reporting.py",
        old="""    state = job.state
    if not isinstance(state, Pending):
        return []
    turn = Turn(memory, node, event.at)
    if state.stop is None and""",
        new="""    state = job.state
    assert isinstance(state, Pending | Running)
    turn = Turn(memory, node, event.at)
    if state.stop is None and""",
        suites=("tests/unit/scheduler",),  # no executor of the simulation ever says this
    ),
    Mutant(
        name="an active attempt that was told to stop is not repeated after loading",
        file="torcd/scheduler/arriving.py",
        old="            if isinstance(job.state, Pending):\n                turn.repeat",
        new="            if isinstance(job.state, Pending) and not job.is_stopping:\n"
        "                turn.repeat",
    ),
    Mutant(
        name="a share is given back when its job is told to stop, and again when it has ended",
        file="torcd/scheduler/spreading.py",
        old="                job.state = Running(state.attempt_key, state.started_at, stop)\n",
        new="                job.state = Running(state.attempt_key, state.started_at, stop)\n"
        "                if state.attempt_key in self.memory.ledger.held:\n"
        "                    self.memory.ledger.cpus += 1\n",
    ),
    Mutant(
        name="the shares of attempts of an earlier daemon are not in the account",
        file="torcd/scheduler/turn.py",
        old="""        if job.queue.share is not None:
            self.memory.ledger.hold(pending.attempt_key, job.queue.share, gpus)
""",
        new="",
    ),
    Mutant(
        name="shares are given out while not all that runs is loaded",
        file="torcd/scheduler/line.py",
        old="""    if memory.is_loading:
        return []  # what runs already is not all known yet
""",
        new="",
    ),
    Mutant(
        name="values of a job that failed are kept",
        file="torcd/scheduler/reporting.py",
        old="    if event.return_code == 0:\n        for data_key",
        new="    if event.return_code >= 0:\n        for data_key",
    ),
    Mutant(
        name="a start that is reported late wipes out that the job was told to stop",
        file="torcd/scheduler/reporting.py",
        old="Running(state.attempt_key, event.at, state.stop and _that_holds(state.stop))",
        new="Running(state.attempt_key, event.at, None)",
    ),
    Mutant(
        name="a job that ended in time is terminated because the news came late",
        file="torcd/scheduler/reporting.py",
        old="limits.ended_in_time(job, event):\n        stop = None\n",
        new="not job.is_stopping:\n        stop = None\n",
    ),
    Mutant(
        name="the runtime limit is not watched of what an earlier daemon started",
        file="torcd/scheduler/reporting.py",
        old="    if job.queue.share is not None:\n        limits.watch",
        new="    if job.queue.share is not None and node.mean_microseconds is not None:\n"
        "        limits.watch",
    ),
    Mutant(
        name="a workflow that was paused while a job was about to start lets it start",
        file="torcd/scheduler/turn.py",
        old="""        elif not self.may_start:
            self.add(RevokeAttempt(pending.attempt_key))
""",
        new="",
    ),
    Mutant(
        name="a workflow is over before its last action has come due",
        file="torcd/scheduler/turn.py",
        old="        if node.actions is None or not acting.begin_next(self.memory, node, self):\n",
        new="        acting.begin_next(self.memory, node, self) if node.actions else None\n"
        "        if node.actions is None or node.actions.active is None:\n",
    ),
    Mutant(
        name="what runs of a frozen workflow is not frozen by the next daemon",
        file="torcd/scheduler/freezing.py",
        old="    if node.frozen_since is not None and not _is_told_to_end(running):\n",
        new="    if node.frozen_since and node.mean_microseconds:\n",
    ),
]

COMMIT = """            if not await self._committed(batch):
                return
"""

CONTROLLER_BUGS = [
    Mutant(
        name="an end is acknowledged to the executor before it is on disk",
        file="torcd/controller/loop.py",
        old=COMMIT,
        new="            self._executor.acknowledge([end.attempt_key for end in batch.over])\n"
        + COMMIT,
        suites=(*CONTROLLER, *CRASH),
    ),
    Mutant(
        name="a request is answered before it is on disk",
        file="torcd/controller/loop.py",
        old=COMMIT,
        new="            for request in batch.requests:\n                request.tell(request)\n"
        + COMMIT,
        suites=(*CONTROLLER, *CRASH),
    ),
    Mutant(
        name="a happening is told before it is on disk",
        file="torcd/controller/loop.py",
        old=COMMIT,
        new="            self.feed.publish(batch.happenings)\n" + COMMIT,
        suites=CONTROLLER,
    ),
    Mutant(
        name="a value that is stored alone is told before it is on disk",
        file="torcd/controller/rounds.py",
        old="                if self.store.commit_value_at_once(saved, told):\n",
        new="                self.feed.publish((told,))\n"
        "                if self.store.commit_value_at_once(saved, told):\n",
        suites=("tests/unit/server/test_alone.py",),
    ),
    Mutant(
        name="of a value that is stored alone nothing comes",
        file="torcd/controller/rounds.py",
        old="case [c.SaveValue() as saved, Happening() as told]:",
        new="case [c.SaveValue() as saved, Happening() as told, *_]:",
        suites=("tests/unit/server/test_alone.py",),
    ),
    Mutant(
        name="orders are given before the intent is on disk",
        file="torcd/controller/loop.py",
        old=COMMIT,
        new="            self._actor._start(batch.starts)\n" + COMMIT,
        suites=(*CONTROLLER, *CRASH),
    ),
    Mutant(
        name="a value that was fetched before is told while it is being replaced",
        file="torcd/server/quick.py",
        old="            or self._controller.is_ahead_of_disk\n",
        new="",
        suites=("tests/unit/server/test_quick.py",),
    ),
    Mutant(
        name="who looks sees what is being committed",
        file="torcd/controller/loop.py",
        old="        if self._is_busy:\n            await",
        new="        if self._inbox:\n            await",
        suites=CONTROLLER,
    ),
    Mutant(
        name="reports are taken before what they are about is loaded",
        file="torcd/controller/standing_still.py",
        old='        self.is_open = False\n        """Things are decided',
        new='        self.is_open = True\n        """Things are decided',
        suites=(*CONTROLLER, *CRASH),
    ),
    Mutant(
        name="what could not be written for want of room stays in memory",
        file="torcd/controller/standing_still.py",
        old="        self._start_over(counters, is_draining=True)\n",
        new="",
        suites=CONTROLLER,
    ),
    Mutant(
        name="a runtime limit waits until the disk has room",
        file="torcd/scheduler/standstill.py",
        old="URGENT = (CancelRequested, PauseRequested, TimePassed)",
        new="URGENT = (CancelRequested, PauseRequested)",
        suites=CONTROLLER,
    ),
    Mutant(
        name="with what is urgent on a full disk jobs are started",
        file="torcd/controller/standing_still.py",
        old="batch = await self._take_up(is_draining=True)",
        new="batch = await self._take_up(is_draining=False)",
        suites=CONTROLLER,
    ),
    Mutant(
        name="the end of an attempt that is lost is not acknowledged",
        file="torcd/controller/rounds.py",
        old="            if isinstance(item, End):\n",
        new="            if isinstance(item, e.AttemptExited):\n",
        suites=CONTROLLER,
    ),
    Mutant(
        name="nobody hears that an attempt was stopped before its order was given",
        file="torcd/controller/acting.py",
        old="        self._not_started(key, None)\n        return True\n",
        new="        return True\n",
        suites=CONTROLLER,
    ),
    Mutant(
        name="an order goes out although it was taken back while its inputs were written",
        file="torcd/controller/preparing.py",
        old="            if not self.forget(order.attempt_key):\n",
        new="            if not self.forget(order.attempt_key) and problem is not None:\n",
        suites=CONTROLLER,
    ),
    Mutant(
        name="inputs are written again for an order that an earlier daemon may have given",
        file="torcd/controller/acting.py",
        old="if INPUTS in order.environment and not os.path.exists(order.environment[INPUTS]):",
        new="if INPUTS in order.environment:",
        suites=CONTROLLER,
    ),
    Mutant(
        name="what ran when the machine was restarted is ordered again",
        file="torcd/controller/shelf.py",
        old="            if boot_id != self._boot_id\n",
        new="            if boot_id == NO_BOOT\n",
        suites=CONTROLLER,
    ),
    Mutant(
        name="that an attempt runs is forgotten when there is no room",
        file="torcd/scheduler/standstill.py",
        old="                if isinstance(state, Running):\n",
        new="                if isinstance(state, Running) and state.stop is not None:\n",
        suites=CONTROLLER,
    ),
]

SHARING = ("tests/unit/executors/test_sharing.py",)

EXECUTOR_BUGS = [
    Mutant(
        name="an order whose end was acknowledged is given again to the next warden",
        file="torcd/executors/local/standing.py",
        old="        return self.forget(self._orders.keys() & attempts)\n",
        new="        return []\n",
        suites=("tests/integration/test_local_executor.py",),
    ),
    Mutant(
        name="an attempt is spawned before its claim is written",
        file="torcd/executors/warden/starting.py",
        old="        if not self._journal.write(ledger.claimed(batch)):\n",
        new="        if self._journal.later(ledger.claimed(batch)):\n",
        suites=CRASH,
        only="the_warden_dies",
    ),
    Mutant(
        name="a child is reaped before its status is written",
        file="torcd/executors/warden/reaping.py",
        old="            if not self._journal.write(ledger.exited(key, code, now)):\n",
        new="            if now is None:\n",
        suites=(*CRASH, *FAULTS),
        only="the_warden_dies",
    ),
    Mutant(
        name="what comes after another starts although that was stopped",
        file="torcd/executors/warden/following.py",
        old="        and not leader.stopped\n",
        new="",
        suites=CONTRACT,
        only="after",
    ),
    Mutant(
        name="what comes after another starts although that has left something to look at",
        file="torcd/executors/warden/following.py",
        old="os.access(order.unless_exists, os.F_OK, follow_symlinks=False)",
        new="False",
        suites=CONTRACT,
        only="after",
    ),
    Mutant(
        name="a claim is given back by a warden that cannot know what became of it",
        file="torcd/executors/warden/succession.py",
        old="                if heir and not entry.pid:\n",
        new="                if not entry.pid:\n",
        suites=FAULTS,
        only="claim",
    ),
    Mutant(
        name="a process that got the pid of a job is taken for it",
        file="torcd/executors/warden/succession.py",
        old="        return entry.pid if mark == processes.marker(state_id, key) else 0\n",
        new="        return entry.pid if mark is not None else 0\n",
        suites=FAULTS,
        only="reused",
    ),
    Mutant(
        name="the next warden is not told again what was ordered",
        file="torcd/executors/local/standing.py",
        old="        self._send_orders("
        "[self._as_of_now(order) for order in self._orders.values()])\n",
        new="",
        suites=(*CRASH, *FAULTS),
        only="the_warden_dies",
    ),
    Mutant(
        name="nobody is asked how a job ended while the warden of an earlier daemon was replaced",
        file="torcd/executors/local/supervisor.py",
        old="self.heritage.settle(self._witness.testify(reports))",
        new="self.heritage.settle(reports)",
        suites=FAULTS,
        only="heir",
    ),
    Mutant(
        name="a share counts as lowered as soon as it was told",
        file="torcd/executors/local/shares.py",
        old="        return max(share.told, len(share.before))\n",
        new="        return share.told\n",
        suites=SHARING,
    ),
    Mutant(
        name="what a share was lowered from is not asked, but taken to be over",
        file="torcd/executors/local/sharing.py",
        old="        lane.shares[number].before.intersection_update(running)\n",
        new="        lane.shares[number].before.clear()\n",
        suites=SHARING,
    ),
    Mutant(
        name="a new daemon is not told what waits with its wardens",
        file="torcd/executors/local/executor.py",
        old="            self._known.update((AttemptKey(key), number) for key in synced.queued)\n",
        new="",
        suites=SHARING,
    ),
    Mutant(
        name="a job waits behind a long one though another warden has room",
        file="torcd/executors/local/sharing.py",
        old="            if lane.is_shared:\n                self._balance(key, lane)\n",
        new="",
        suites=SHARING,
    ),
    Mutant(
        name="what is withdrawn after a restart is started before what it comes after has ended",
        file="torcd/executors/local/executor.py",
        old="if after is not None and after.attempt_key != NO_ATTEMPT:",
        new="if after is not None:",
        suites=SHARING,
    ),
    Mutant(
        name="a warden that was started with the daemon is not told its share",
        file="torcd/executors/local/sharing.py",
        old="                self._tell(number, key, share, share.told or 0)\n",
        new="                share.told = share.told or 0\n",
        suites=SHARING,
    ),
    Mutant(
        name="a limit that is lowered is shared before it is known how many run",
        file="torcd/executors/local/sharing.py",
        old="are_too_many = lane.room < 0",
        new="are_too_many = False",
        suites=SHARING,
    ),
    Mutant(
        name="who only comes after another one counts as if it had a place",
        file="torcd/executors/local/shares.py",
        old="        if leader is None:\n            self.load += 1\n",
        new="        if leader is None or leader:\n            self.load += 1\n",
        suites=SHARING,
    ),
    Mutant(
        name="what was taken back while it was withdrawn is started by another warden",
        file="torcd/executors/local/executor.py",
        old="unwanted = [key for key in attempts if supervisor.orders.is_to_end(key)]",
        new="unwanted: list[AttemptKey] = []",
        suites=SHARING,
    ),
]

TELLING_BUGS = [
    Mutant(
        name="a warden tells again while its ends are being decided",
        file="torcd/executors/warden/attempts.py",
        old="        return self._last_told in self._known\n",
        new="        return False\n",
        suites=("tests/unit/executors/test_telling.py",),
    ),
    Mutant(
        name="a warden waits for the first end that it has told",
        file="torcd/executors/warden/attempts.py",
        old="            self._last_told = self._last_over\n",
        new="            self._last_told = 1\n",
        suites=("tests/unit/executors/test_telling.py",),
    ),
    Mutant(
        name="whose ends are being decided is asked all the same",
        file="torcd/executors/local/together.py",
        old=" and one not in self._undecided",
        new="",
        suites=("tests/unit/executors/test_together.py",),
    ),
    Mutant(
        name="nobody hears that ends are on disk",
        file="torcd/executors/local/executor.py",
        old="        self._together.acknowledged(keys)\n",
        new="",
        suites=("tests/unit/executors/test_together.py",),
    ),
]

USER_BUGS = [
    Mutant(
        name="a workflow that is not in memory is anybody's",
        file="torcd/server/context.py",
        old="return await self.controller.store.owner_uid(key) == peer.uid",
        new="return await self.controller.store.owner_uid(key) is not None",
        suites=USERS,
    ),
    Mutant(
        name="everybody's newest workflow is the newest of all",
        file="torcd/server/context.py",
        old="own = peer.uid if self.accounts.is_shared else None",
        new="own = None",
        suites=USERS,
    ),
    Mutant(
        name="a token is good in anybody's hands",
        file="torcd/server/handlers/data.py",
        old="if not context.is_own(call.peer, node.workflow.owner):",
        new="if False:",
        suites=USERS,
    ),
    Mutant(
        name="a job keeps root's groups",
        file="torcd/executors/warden/as_user.py",
        old="""    os.setgroups(user["groups"])
""",
        new="",
        suites=USERS,
    ),
    Mutant(
        name="TORC_OUTPUT is read with root's rights",
        file="torcd/controller/harvest.py",
        old="as_user(expected.user, _read, expected.output_path",
        new="as_user(None, _read, expected.output_path",
        suites=("tests/integration/test_users_hostile.py",),
    ),
    Mutant(
        name="output files are looked for with root's rights",
        file="torcd/controller/sightings.py",
        old="return as_user(self.user, glance, self.path)",
        new="return as_user(None, glance, self.path)",
        suites=USERS,
    ),
]
"""They take root and other users to be seen."""

POWER = ("tests/crash/test_power_cut.py",)

FILES = ("tests/unit/store/test_value_files.py", "tests/integration/test_large_values.py")

STORE_BUGS = [
    Mutant(
        name="a large value is not synced",
        file="torcd/store/durable.py",
        old="    meanwhile()\n    os.fsync(descriptor)\n",
        new="    meanwhile()\n",
        suites=POWER,
    ),
    Mutant(
        name="the name of a large value is not synced",
        file="torcd/store/value_files.py",
        old="            sync(self._directory)\n",
        new="",
        suites=POWER,
    ),
    Mutant(
        name="files of large values go after a commit of which nobody knows",
        file="torcd/store/value_files.py",
        old="        except NoSpace:  #",
        new="        except Exception:  #",
        suites=FILES,
    ),
    Mutant(
        name="files that an older copy does not know go",
        file="torcd/store/schema.py",
        old="anew=mark is None",
        new="anew=False",
        suites=FILES,
    ),
    Mutant(
        name="files of another database go",
        file="torcd/store/value_files.py",
        old="        return name.startswith(self._prefix)",
        new="        return True",
        suites=FILES,
    ),
    Mutant(
        name="a value that is refused before anything is asked leaves its file",
        file="torcd/server/handlers/data.py",
        old="        except BaseException:\n            refused()\n            raise\n",
        new="        except BaseException:\n            raise\n",
        suites=FILES,
    ),
    Mutant(
        name="a value that is refused when it is asked for leaves its file",
        file="torcd/controller/loop.py",
        old="                refused()\n",
        new="                pass\n",
        suites=("tests/unit/controller/test_standing_still.py",),
    ),
    Mutant(
        name="what is deleted while it is checked is lost",
        file="torcd/store/checking.py",
        old=" if workflow in kept)",
        new=")",
        suites=FILES,
    ),
    Mutant(
        name="a lost value ends the making of jobs",
        file="torcd/controller/unfolding.py",
        old="            except errors.LostValue as error:",
        new="            except errors.NoSpace as error:",
        suites=FILES,
    ),
    Mutant(
        name="a lost value ends the withdrawal of jobs",
        file="torcd/controller/withdrawing.py",
        old="        except errors.LostValue:",
        new="        except errors.NoSpace:",
        suites=FILES,
    ),
    Mutant(
        name="a file goes that another revision has too",
        file="torcd/store/sweeping.py",
        old="                if connection.execute(_NAMED, (name,)).fetchone() is None:\n",
        new="                if True:\n",
        suites=FILES,
    ),
    Mutant(
        name="memory that somebody reads is used again",
        file="torcd/kept_block.py",
        old=" and sys.getrefcount(_kept) == _NOBODYS",
        new="",
        suites=("tests/unit/test_kept_block.py",),
    ),
    Mutant(
        name="a small message holds all of a large block",
        file="torcd/protocol/framing.py",
        old="        cut(held, end)",
        new="        pass",
        suites=("tests/unit/server/test_cutting.py",),
    ),
    Mutant(
        name="a large value is taken for plain",
        file="torcd/server/handlers/data.py",
        old="looked.set_result(value.is_plain_string(text))",
        new="looked.set_result(True)",
        suites=("tests/unit/server/test_large_stores.py",),
    ),
    Mutant(
        name="a backup of another directory is refused when it is in its place",
        file="torcd/store/restoring.py",
        old="            mark_as_newest(path, reader)",
        new="            pass",
        suites=("tests/unit/store/test_backup.py",),
    ),
    Mutant(
        name="a restore takes the large values of what it replaces",
        file="torcd/store/restoring.py",
        old="        _put_values_aside(values, directory_of(aside))\n",
        new="        pass\n",
        suites=FILES,
    ),
]

MUTANTS = [
    *SCHEDULER,
    *CONTROLLER_BUGS,
    *EXECUTOR_BUGS,
    *TELLING_BUGS,
    *USER_BUGS,
    *STORE_BUGS,
]

COPIED = ("torcd", "torcctl", "tests", "pyproject.toml", "configs", "docs")

TIMEOUT_SECONDS = 600
"""A bug that makes a suite hang is seen, too."""


class CannotPlant(Exception):
    """The code does not have what the bug would replace."""


def plant(mutant: Mutant, tree: Path) -> None:
    """Raises CannotPlant."""
    file = tree / mutant.file
    text = file.read_text()
    if text.count(mutant.old) != 1:
        raise CannotPlant(f"{mutant.file} has this {text.count(mutant.old)} times:\n{mutant.old}")
    file.write_text(text.replace(mutant.old, mutant.new))


def copy_tree(tree: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, tree / name)


def first_failure(mutant: Mutant | None, tree: Path) -> str | None:
    """Which test saw it; None: none did."""
    suites = mutant.suites if mutant else (*SIM, *CONTROLLER)
    selection = ["-k", mutant.only] if mutant and mutant.only else []
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*command, *selection, *suites],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "the suite hangs"
    if done.returncode == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if found is None or done.returncode != 1:
        raise RuntimeError(f"the tests do not run:\n{done.stdout[-3000:]}{done.stderr[-2000:]}")
    return found[1]


def try_one(mutant: Mutant) -> str | None:
    with tempfile.TemporaryDirectory(prefix="torcd-mutant-") as directory:
        tree = Path(directory)
        copy_tree(tree)
        plant(mutant, tree)
        return first_failure(mutant, tree)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="some of the bugs, by a part of their names")
    parser.add_argument("--list", action="store_true", help="say which there are")
    options = parser.parse_args()
    chosen = [m for m in MUTANTS if not options.names or any(n in m.name for n in options.names)]
    survivors = impossible = 0
    for mutant in chosen:
        if options.list:
            print(f"{mutant.file}: {mutant.name}")
            continue
        began = time.monotonic()
        try:
            seen_by = try_one(mutant)
        except CannotPlant as error:
            impossible += 1
            print(f"CANNOT BE PLANTED  {mutant.name}: {error}", flush=True)
            continue
        survivors += seen_by is None
        word = "SURVIVES" if seen_by is None else "seen"
        seconds = time.monotonic() - began
        print(f"{word:9}{seconds:5.0f} s  {mutant.name}  ({seen_by or 'nobody'})", flush=True)
    if not options.list:
        print(f"{len(chosen)} bugs: {survivors} survive, {impossible} cannot be planted")
    return 1 if survivors else 2 if impossible else 0


if __name__ == "__main__":
    sys.exit(main())
