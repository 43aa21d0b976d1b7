"""Jobs that ask for CPUs, memory and GPUs: what they get, and when it is their turn."""

import pytest

from torcd.model import Capacity
from torcd.scheduler import choosing
from torcd.scheduler.commands import AddAttempt, StartAttempt
from torcd.scheduler.sharing import Share

from .play import Play
from .specs import job

MACHINE = Capacity(cpus=4, memory_bytes=1000, gpus=2)


def play(*, capacity=MACHINE, beside=None, **more):
    return Play(capacity=capacity, beside=beside, **more)


def running(*plays):
    return [name for p in plays for name, status in p.statuses.items() if status == "pending"]


def granted(p, name):
    """The GPUs of its newest attempt, which are those in its intent."""
    [start] = [c for c in p.history if isinstance(c, StartAttempt) and c.job.name == name][-1:]
    [intent] = [
        c for c in p.history if isinstance(c, AddAttempt) and c.attempt_key == start.attempt_key
    ]
    assert intent.gpus == start.gpus
    return start.gpus


@pytest.mark.parametrize(
    "request_", [{"num_cpus": 2}, {"memory_bytes": 500}, {"num_gpus": 1, "num_cpus": 1}]
)
def test_as_many_run_as_fit_into_the_machine(request_):
    p = play(**{f"j{i}": job(**request_) for i in range(4)})
    assert running(p) == ["j0", "j1"]
    p.exits("j0")
    assert running(p) == ["j1", "j2"]


def test_the_workflows_share_one_machine():
    a = play(a=job(num_cpus=3))
    b = play(b=job(num_cpus=2), c=job(num_cpus=1), beside=a)
    assert running(a, b) == ["a", "c"]
    a.exits("a")
    assert running(a, b) == ["b", "c"]


def test_what_does_not_ask_binds_nothing_and_waits_for_nothing():
    a = play(a=job(num_cpus=4), b=job(), c=job(num_cpus=1))
    b = play(d=job(), e=job(), beside=a)
    assert running(a, b) == ["a", "b", "d", "e"]


def test_each_counts_against_the_limit_of_its_workflow():
    p = play(a=job(num_cpus=1), b=job(), c=job(num_cpus=1), parallel=2)
    assert running(p) == ["a", "b"]
    p.exits("b")
    assert running(p) == ["a", "c"]


def test_who_asks_for_more_than_there_is_gets_all_of_it():
    p = play(a=job(num_cpus=1), b=job(num_cpus=99, memory_bytes=10**9, num_gpus=7))
    assert running(p) == ["a"]
    p.exits("a")
    assert running(p) == ["b"]
    [start] = [c for c in p.last if isinstance(c, StartAttempt)]
    assert (start.share, start.gpus) == (Share(4, 1000, 2), (0, 1))


def test_on_a_machine_without_gpus_a_job_that_asks_for_some_runs_without():
    p = play(a=job(num_gpus=2), capacity=Capacity(cpus=1, memory_bytes=1, gpus=0))
    assert granted(p, "a") == ()


def test_a_job_gets_the_lowest_free_gpus_and_no_two_get_the_same():
    p = play(a=job(num_gpus=1), b=job(num_gpus=1), c=job(num_gpus=1), d=job(num_gpus=2))
    assert (granted(p, "a"), granted(p, "b")) == ((0,), (1,))
    p.exits("b")
    assert granted(p, "c") == (1,)
    p.exits("a")
    assert p.status("d") == "ready"
    p.exits("c")
    assert granted(p, "d") == (0, 1)


@pytest.mark.parametrize("end", ["exit", "failure", "lost", "not started", "taken back"])
def test_however_an_attempt_ends_its_share_is_given_back(end):
    p = play(a=job(num_cpus=4, num_gpus=2))
    q = play(b=job(num_cpus=4, num_gpus=2), beside=p)
    match end:
        case "exit":
            p.exits("a")
        case "failure":
            p.exits("a", 1)
        case "lost":
            p.is_lost("a")
        case "not started":
            p.does_not_start("a", "no such program")
        case "taken back":
            p.cancel("a")
            p.does_not_start("a")
    assert running(q) == ["b"]


def test_a_paused_workflow_leaves_the_machine_to_others():
    a = play(a=job(num_cpus=4), b=job(num_cpus=4))
    b = play(c=job(num_cpus=4), beside=a)
    a.pause()
    a.does_not_start("a")
    assert running(a, b) == ["c"]
    a.resume()
    b.exits("c")
    assert running(a, b) == ["a"]


def test_two_workflows_take_turns():
    a = play(**{f"a{i}": job(num_cpus=4) for i in range(3)})
    b = play(**{f"b{i}": job(num_cpus=4) for i in range(3)}, beside=a)
    order = []
    while now := running(a, b):
        [name] = now
        order.append(name)
        (a if name[0] == "a" else b).exits(name)
    assert order == ["a0", "a1", "b0", "a2", "b1", "b2"]  # a waits for its second the longest


def test_what_is_given_back_goes_to_as_many_as_it_is_enough_for():
    a = play(a=job(num_cpus=4))
    b = play(**{f"b{i}": job(num_cpus=1) for i in range(9)}, beside=a)
    c = play(c=job(num_cpus=2), beside=a)
    a.exits("a")
    assert running(b, c) == ["b0", "b1", "c"]


# Order


def order_of(p):
    order = []
    while now := running(p):
        [name] = now
        order.append(name)
        p.exits(name)
    return order


JOBS = {
    "small": job(num_cpus=4),
    "long": job(num_cpus=4, runtime_seconds=50.0, memory_bytes=1),
    "large": job(num_cpus=4, runtime_seconds=5.0, memory_bytes=900),
    "gpu": job(num_cpus=4, num_gpus=1),
    "urgent": job(num_cpus=4, priority=1),
}


def test_jobs_that_ask_are_chosen_by_priority_and_in_the_order_of_the_spec():
    assert order_of(play(**JOBS)) == ["urgent", "small", "long", "large", "gpu"]


def test_the_most_demanding_go_first_where_the_workflow_says_so():
    p = play(**JOBS, sort="gpus_runtime_memory")
    assert order_of(p) == ["urgent", "gpu", "long", "large", "small"]
    p = play(**JOBS, sort="gpus_memory_runtime")
    assert order_of(p) == ["urgent", "gpu", "large", "long", "small"]


def test_among_those_that_ask_and_those_that_do_not_there_is_one_order():
    p = play(a=job(), b=job(num_cpus=1), c=job(), d=job(num_cpus=1, priority=1), parallel=1)
    assert order_of(p) == ["d", "a", "b", "c"]


def test_what_asks_is_not_handed_over_ahead_and_nothing_that_comes_after_it():
    jobs = {f"j{i}": job(num_cpus=1) if i == 5 else job() for i in range(20)}
    p = play(**jobs, parallel=2)
    p.starts("j0")
    p._time = p.job("j0").state.started_at + 1_000 - 1_000_000
    p.exits("j0")
    assert running(p) == ["j1", "j2", "j3", "j4"]
    for name in ("j1", "j2", "j3"):
        p.exits(name)
    assert running(p)[:2] == ["j4", "j5"]


# Passing over


def test_a_smaller_job_passes_one_that_does_not_fit():
    p = play(a=job(num_cpus=3), wide=job(num_cpus=4), c=job(num_cpus=1))
    assert running(p) == ["a", "c"]


def passed_by(p, q, name="wide"):
    """How many jobs of q start, two at a time, until a job of p does."""
    passed = 0
    while p.status(name) == "ready":
        q.exits(running(q)[0])
        passed += len([n for n in q.started_now if n != name])
    return passed


def narrow(n=100, **request_):
    return {f"n{i}": job(**(request_ or {"num_cpus": 2})) for i in range(n)}


def test_one_that_was_passed_over_for_long_is_left_room():
    q = play(**narrow())
    p = play(wide=job(num_cpus=4), beside=q)
    assert choosing.PATIENCE <= passed_by(p, q) <= choosing.PATIENCE + 2
    assert running(q) == []
    p.exits("wide")
    assert len(running(q)) == 2


def test_the_wide_job_of_the_same_workflow_is_left_room_too():
    p = play(n=job(num_cpus=2), wide=job(num_cpus=4), **narrow())
    started = 0
    while p.status("wide") == "ready":
        p.exits(running(p)[0])
        started += 1
    assert started <= choosing.PATIENCE + 4


def test_after_one_claim_comes_the_next_and_all_have_their_turn():
    q = play(**narrow())
    wides = [play(wide=job(num_cpus=4), beside=q) for _ in range(3)]
    passed = 0
    while any(p.status("wide") == "ready" for p in wides):
        [busy, *_] = [p for p in (*wides, q) if running(p)]
        busy.exits(running(busy)[0])
        passed += 1
    assert passed <= choosing.PATIENCE + 12


def test_who_waits_for_a_gpu_leaves_the_cpus_to_others():
    g = play(g=job(num_gpus=2))
    q = play(**narrow(num_cpus=1), beside=g)
    p = play(wide=job(num_cpus=1, num_gpus=1), beside=g)
    for i in range(choosing.PATIENCE + 20):
        assert len(running(q)) == (3 if i <= choosing.PATIENCE else 2)
        q.exits(running(q)[0])
        if len(running(q)) < 3:
            break
    for _ in range(20):
        q.exits(running(q)[0])
        assert len(running(q)) == 2, "a CPU is kept for it, and no more"
    g.exits("g")
    assert p.status("wide") == "pending"


def test_a_place_in_its_own_workflow_is_left_to_the_one_that_was_passed_over():
    q = play(q=job(num_cpus=4))
    p = play(wide=job(num_cpus=1), **{f"f{i}": job() for i in range(50)}, parallel=2, beside=q)
    for _ in range(choosing.PATIENCE + 1):
        p.exits(running(p)[0])
    assert len(running(p)) == 1
    q.exits("q")
    assert "wide" in running(p)


def test_a_claim_ends_with_what_it_was_for():
    q = play(**narrow())
    p = play(wide=job(num_cpus=4), beside=q)
    while len(running(q)) == 2:
        q.exits(running(q)[0])
    assert p.status("wide") == "ready"
    p.cancel("wide")
    assert len(running(q)) == 2


def test_a_paused_workflow_gives_its_claim_up():
    q = play(**narrow())
    p = play(wide=job(num_cpus=4), beside=q)
    while len(running(q)) == 2:
        q.exits(running(q)[0])
    p.pause()
    assert len(running(q)) == 2
