"""When a client tries again."""

from torcd.client.conversation import Patience


def test_pauses_grow_to_a_cap_and_end_with_the_timeout() -> None:
    patience = Patience(1.0)
    now, pauses = 100.0, []
    while (pause := patience.after_failure(now, now)) is not None:
        pauses.append(pause)
        now += pause
    assert pauses[:5] == [0.01, 0.02, 0.04, 0.08, 0.16]
    assert max(pauses) == 0.25
    assert abs(sum(pauses) - 1.0) < 1e-9


def test_without_a_timeout_nothing_is_tried_again() -> None:
    assert Patience(0).after_failure(100.0, 100.0) is None


def test_trouble_after_a_long_peace_is_new_trouble() -> None:
    patience = Patience(1.0)
    assert patience.after_failure(100.0, 100.0) == 0.01
    assert patience.after_failure(100.9, 100.9) is not None
    assert patience.after_failure(101.1, 101.1) is None
    assert patience.after_failure(101.1, 200.0) == 0.01
