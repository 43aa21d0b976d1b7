"""The same world in the hands of hypothesis, which finds the shortest history that goes wrong."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from .faults import FAULTS, Fault
from .people import WISHES, Submit, Wish
from .test_campaign import STEPS_OF_THE_WORLD
from .workflows import Pick
from .world import World


def picker(data: st.DataObject) -> Pick:
    return lambda n: data.draw(st.integers(0, n - 1))


class CruelWorld(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @rule(data=st.data())
    def submit(self, data: st.DataObject) -> None:
        Submit().come_true(self.world, picker(data))

    @rule(data=st.data(), names=st.lists(st.sampled_from(STEPS_OF_THE_WORLD), min_size=1))
    def go_on(self, data: st.DataObject, names: list[str]) -> None:
        for name in names:
            getattr(self.world, name)(picker(data))

    @rule(data=st.data(), wish=st.sampled_from(WISHES))
    def wish(self, data: st.DataObject, wish: Wish) -> None:
        wish.come_true(self.world, picker(data))

    @rule(data=st.data(), fault=st.sampled_from(FAULTS))
    def break_something(self, data: st.DataObject, fault: Fault) -> None:
        fault.strike(self.world, picker(data))

    def teardown(self) -> None:
        self.world.calm_down()
        self.world.check_the_end()


CruelWorld.TestCase.settings = settings(
    max_examples=min(100, settings.default.max_examples),  # `make fuzz` asks for a thousand
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TestShortestHistories = CruelWorld.TestCase
