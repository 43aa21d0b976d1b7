"""How a daemon that has been told to wait can still be told to hurry."""

import pytest

from tests.daemon_process import Daemon
from torcd.protocol import manager as m

FOREVER = {"jobs": [{"name": "j", "command": "sleep 1000"}]}


@pytest.mark.parametrize("slower", ["wait", "terminate"])
def test_a_signal_ends_a_daemon_that_waits_for_its_jobs(daemon: Daemon, slower: str) -> None:
    stubborn = {"command": "trap '' TERM; while :; do sleep 1; done", "supports_termination": True}
    spec = FOREVER if slower == "wait" else {"jobs": [{"name": "j", **stubborn}]}
    key = daemon.submit(spec)
    with daemon.client() as client:
        client.call(m.Stop(jobs="wait" if slower == "wait" else "terminate"))
        assert client.call(m.GetWorkflow(workflow_key=key)).workflow.status.value == "running"
    assert daemon.stop() == 0
    daemon.start()
    with daemon.client() as client:
        client.call(m.Cancel(workflow_key=key))
