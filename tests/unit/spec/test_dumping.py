"""What was dumped is read again as it was, in every format."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from tests.unit.spec.made_up import WORKFLOWS, plain
from torcd import spec
from torcd.errors import InvalidSpec
from torcd.spec import formats, structure

FORMATS = ("json5", "yaml", "toml", "kdl")


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(given_spec=WORKFLOWS)
def test_what_is_loaded_is_what_was_dumped(name: str, given_spec: spec.WorkflowSpec) -> None:
    try:
        text = spec.dump(given_spec, format=name)
    except InvalidSpec as refused:
        assert name == "toml"
        assert "TOML" in refused.message
        return
    loaded = structure.decode(formats.by_name(name).load(text.decode()))
    assert loaded.findings == []
    assert loaded.spec == given_spec
    assert plain(loaded.spec) == plain(given_spec)
