"""Where things are: the socket, the state, the configuration.

A daemon run by a user lives below that user's XDG directories, one run by the system below /run,
/var/lib and /etc. The variables TORC_SOCKET, TORCD_STATE_DIR and TORCD_CONFIG override; flags
override those. Light on purpose: job scripts import this.
"""

import os

SYSTEM_SOCKET = "/run/torcd/torcd.sock"

SYSTEM_GROUP = "torcd"
"""Whose members may use the system's daemon."""


def state_dir() -> str:
    """The user's state directory."""
    return os.environ.get("TORCD_STATE_DIR") or os.path.join(
        _xdg("XDG_STATE_HOME", ".local/state"), "torcd"
    )


def daemon_config() -> str:
    return os.environ.get("TORCD_CONFIG") or os.path.join(
        _xdg("XDG_CONFIG_HOME", ".config"), "torcd", "torcd.toml"
    )


def client_config() -> str:
    return os.path.join(_xdg("XDG_CONFIG_HOME", ".config"), "torcd", "torcctl.toml")


def user_socket() -> str:
    """Where the user's own daemon listens.

    Without XDG_RUNTIME_DIR it is in the state directory, which only the user can enter; never
    under a name in /tmp that somebody else could take first.
    """
    override = os.environ.get("TORC_SOCKET")
    if override:
        return override
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isabs(runtime):
        return os.path.join(runtime, "torcd", "torcd.sock")
    return os.path.join(_xdg("XDG_STATE_HOME", ".local/state"), "torcd", "run", "torcd.sock")


def client_socket() -> str:
    """Where a client looks: the user's socket, then the system's, if only that is there and this
    user may use it."""
    own = user_socket()
    if os.environ.get("TORC_SOCKET") or os.path.exists(own) or not _may_use(SYSTEM_SOCKET):
        return own
    return SYSTEM_SOCKET


def _may_use(socket: str) -> bool:
    # Whoever may write to it may connect.
    return os.access(socket, os.W_OK)


def _xdg(variable: str, below_home: str) -> str:
    # The specification says that a relative path is to be ignored.
    value = os.environ.get(variable, "")
    return value if os.path.isabs(value) else os.path.join(os.path.expanduser("~"), below_home)
