"""Lines about clients are bounded, and nothing is hidden by that."""

from structlog.testing import CapturingLogger

from torcd.server.complaints import MAX_LINES, Complaints


def test_a_flood_of_warnings_is_cut_short_and_counted() -> None:
    log, now = CapturingLogger(), 0.0
    complaints = Complaints(log, lambda: now)
    for n in range(MAX_LINES + 30):
        complaints.warn("bad", n=n)
    assert [call.kwargs["n"] for call in log.calls] == list(range(MAX_LINES))
    log.calls.clear()
    now = 60.0
    complaints.warn("bad", n=-1)
    assert [(call.args, call.kwargs) for call in log.calls] == [
        (("warnings about clients left out",), {"count": 30}),
        (("bad",), {"n": -1}),
    ]
    log.calls.clear()
    now = 120.0
    complaints.warn("bad", n=-2)
    assert len(log.calls) == 1
