"""What the kernel may refuse to the watcher of inputs."""

import errno

import pytest

from torcd import errors
from torcd.controller import inputs


async def test_no_inotify_left_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(inputs, "Inotify", refuse)
    watcher = inputs.InputWatcher(lambda *_: None, None)
    with pytest.raises(errors.ExecutorError, match="max_user_instances"):
        await watcher.run()
