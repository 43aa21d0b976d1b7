"""Where this process may make cgroups, by what /proc tells."""

import pytest

from torcd.errors import ConfigError
from torcd.executors.local import delegation

PURE = "25 1 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = (
    "30 29 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "31 29 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)


@pytest.mark.parametrize(
    ("mountinfo", "membership", "found"),
    [
        (PURE, "0::/a/b\n", ("/sys/fs/cgroup", "/sys/fs/cgroup/a/b")),
        (PURE, "0::/\n", ("/sys/fs/cgroup", "/sys/fs/cgroup")),
        (
            HYBRID,
            "4:memory:/m\n0::/a\n",
            ("/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/a"),
        ),
        (PURE.replace(" / ", " /a "), "0::/a/b\n", ("/sys/fs/cgroup", "/sys/fs/cgroup/b")),
        (PURE.replace(" / ", " /x "), "0::/a/b\n", None),
        (PURE, "0::/../elsewhere\n", None),
        (PURE, "4:memory:/m\n", None),
        ("", "0::/a\n", None),
    ],
)
def test_the_own_cgroup_is_found(
    mountinfo: str, membership: str, found: tuple[str, str] | None
) -> None:
    assert delegation.own_cgroup(mountinfo, membership) == found


def test_off_is_nowhere() -> None:
    assert delegation.place("off") == ""


def test_a_directory_that_is_no_cgroup_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"/tmp.*cgroup2.*another directory.*off"):
        delegation.place("/tmp")
