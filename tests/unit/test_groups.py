"""What tests of a group share would be made twice, and be in each other's way, if pytest-xdist did
not keep them together; with some versions of pytest it does not, and does not say so."""

import pytest


@pytest.mark.xdist_group("kept")
def test_tests_of_a_group_are_kept_together(request: pytest.FixtureRequest) -> None:
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("these are not run in groups")
    assert request.node.nodeid.endswith("@kept")
