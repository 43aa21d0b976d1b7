"""Orders as the warden has them."""

from pathlib import Path

from torcd.executors.warden.direct import Environment
from torcd.executors.warden.ledger import Order


def order(
    *argv: str,
    key: int = 1,
    cwd: str = "/",
    plain: list[str] | None = None,
    shared: dict[str, str] | None = None,
    own: dict[str, str] | None = None,
    stdout: Path | str | None = None,
    stderr: Path | str | None = None,
) -> Order:
    """In a lane of its own. Without `shared` variables it has a PATH."""
    return Order(
        {
            "key": key,
            "lane": 1,
            "lane_limit": 4,
            "argv": list(argv),
            "plain": plain,
            "base": "base",
            "env": own or {},
            "cwd": cwd,
            "stdout": stdout and str(stdout),
            "stderr": stderr and str(stderr),
            "user": None,
            "after": None,
        },
        Environment({"PATH": "/usr/bin:/bin"} if shared is None else shared),
    )
