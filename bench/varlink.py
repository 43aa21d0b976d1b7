"""Messages to torcd for clients that are not torcd's own, and a token with which to send them."""

import json

from bench import ours
from tests.daemon_process import Daemon

STORE = FETCH = (b"\0", '{"parameters":{"record":')
"""What ends a reply, and how a good one begins."""

WAITING_JOB = f'{ours.TORCCTL} -q data put token "\\"$TORC_TOKEN\\"" && exec sleep 1000000'
"""Hands its token over, and stays for as long as the token shall be valid."""


def message(method: str, name: str, token: str, data: str | None = None) -> bytes:
    """A call of `io.torcd.UserData`, its NUL included. The data goes in as it is."""
    value = "" if data is None else f',"data":{data}'
    parameters = f'{{"name":"{name}","token":"{token}"{value}}}'
    return f'{{"method":"io.torcd.UserData.{method}","parameters":{parameters}}}'.encode() + b"\0"


def token_of_a_job(daemon: Daemon, outputs: list[str]) -> str:
    """Start a job that declares these outputs, and return its token. It runs until the daemon of
    the benchmark ends."""
    names = ["token", *outputs]
    spec = {
        "jobs": [{"command": WAITING_JOB, "output_user_data": names}],
        "user_data": [{"name": name} for name in names],
    }
    with daemon.client() as client:
        key = client.submit(json.dumps(spec).encode(), environment=daemon.environment).key
        token: str = client.fetch("token", wait=True, timeout=30, workflow_key=key)
    return token
