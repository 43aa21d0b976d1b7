"""Where the warden may make cgroups for attempts.

A cgroup is ours to divide if it was given to us: its manager (systemd, with `Delegate=yes`) says so
in an extended attribute, or its files are this user's, who is not root. For root every cgroup is
writable, and most are the system's manager's; so root has to be told by the attribute or by the
configuration.
"""

import os

from torcd.errors import ConfigError

DELEGATED = ("user.delegate", "trusted.delegate")
"""The attribute; the second is of before systemd 250, and readable by root alone."""


def place(setting: str) -> str:
    """The directory in which the warden is to make cgroups; empty: nowhere. `setting`: auto, off
    or a path. Raises ConfigError for a path where it can't be done."""
    if setting == "off":
        return ""
    own = _own_cgroup()
    if setting == "auto":
        return _delegated(own) if own is not None else ""
    problem = _why_not(own, setting)
    if problem is not None:
        raise ConfigError(
            f"cgroups cannot be made in {setting}: {problem}; name another directory as `cgroups` "
            'in the configuration, or "off"',
            key="cgroups",
        )
    return setting


def own_cgroup(mountinfo: str, membership: str) -> tuple[str, str] | None:
    """Where cgroup2 is mounted, and the directory of this process's cgroup in it; None where there
    is no such, or it lies outside of what is mounted. By the texts of /proc/self/mountinfo and
    /proc/self/cgroup."""
    paths = [line[3:] for line in membership.splitlines() if line.startswith("0::")]
    if not paths or paths[0].startswith("/.."):
        return None
    path = paths[0].removesuffix(" (deleted)")
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        root, mount = fields.split()[3:5]
        if rest.startswith("cgroup2 ") and (root == "/" or f"{path}/".startswith(f"{root}/")):
            below = path if root == "/" else path[len(root) :]
            return mount, f"{mount}{below}".rstrip("/")
    return None


def _own_cgroup() -> tuple[str, str] | None:
    with open("/proc/self/mountinfo") as mountinfo, open("/proc/self/cgroup") as membership:
        return own_cgroup(mountinfo.read(), membership.read())


def _delegated(own: tuple[str, str]) -> str:
    mount, directory = own
    above = os.path.dirname(directory)
    candidates = [directory]
    if directory != mount and _is_marked(above) and not _is_marked(directory):
        # We were put into a cgroup below the one that is ours (systemd: DelegateSubgroup=).
        candidates.insert(0, above)
    for candidate in candidates:
        is_given = _is_marked(candidate) or (os.geteuid() != 0 and candidate != mount)
        if is_given and _why_not(own, candidate) is None:
            return candidate
    return ""


def _is_marked(directory: str) -> bool:
    for name in DELEGATED:
        try:
            return os.getxattr(directory, name) == b"1"
        except OSError:
            continue
    return False


def _why_not(own: tuple[str, str] | None, directory: str) -> str | None:
    """What keeps this process from making cgroups there and moving itself into them."""
    if own is None:
        return "this process is in no cgroup2"
    mount, mine = own
    if not os.path.exists(f"{directory}/cgroup.procs") or not f"{directory}/".startswith(mount):
        return f"it is no directory of the cgroup2 file system at {mount}"
    if not os.access(directory, os.W_OK):
        return "it is not writable by this user"
    # Who moves a process must be allowed to at the place where the ways part.
    parting = os.path.commonpath([mine, directory])
    if not os.access(f"{parting}/cgroup.procs", os.W_OK):
        return f"this user may not move processes between it and {mine}, where the daemon is"
    return None
