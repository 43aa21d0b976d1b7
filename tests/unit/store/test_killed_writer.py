"""A writer is killed at any moment: what it acknowledged is there, and each batch whole or not."""

import random
import subprocess
import sys
from pathlib import Path

import anyio

from torcd.model import WorkflowKey
from torcd.store import Store

WRITER = """
import sys
from pathlib import Path
import anyio
from tests.store_world import commit, create, data_key, happening, save_value
from torcd.store import Store

async def main() -> None:
    async with Store.open(Path(sys.argv[1])) as store:
        creation = create(n_data=2)
        if await store.newest_workflow() is None:
            await commit(store, creation)
        one, other = data_key(creation, 1), data_key(creation, 2)
        row = await store.value(one)
        n = 0 if row is None else row.revision
        while True:
            n += 1
            text = b"%d" % n
            await commit(
                store,
                save_value(one, n, text),
                save_value(other, n, text),
                happenings=[happening(n)],
            )
            print(n, flush=True)

anyio.run(main)
"""


def acknowledged_before_the_kill(path: Path, commits: int) -> int:
    """The last number that the writer said is on disk."""
    root = Path(__file__).parents[3]
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert writer.stdout is not None
    with writer.stdout as output:
        last = 0
        for _ in range(commits):
            last = int(output.readline())
        writer.kill()
        writer.wait()
        for line in output:
            if line.endswith("\n"):
                last = int(line)
    return last


def test_nothing_acknowledged_is_lost_and_nothing_is_half(tmp_path: Path) -> None:
    pick = random.Random(1).randrange
    path = tmp_path / "torcd.db"
    for _ in range(3):
        acknowledged = acknowledged_before_the_kill(path, 1 + pick(200))
        found = anyio.run(read, path)
        # The one that was under way may have come through, unheard.
        assert found in (acknowledged, acknowledged + 1)


async def read(path: Path) -> int:
    """How many commits are there; all that is in one of them is there for each."""
    async with Store.open(path) as store:
        event = await store.load(WorkflowKey(1))
        assert event is not None
        one, other = (data.key for data in event.event.workflow.user_data)
        values = [row.value for row in await store.revisions(one)]
        assert values == [b"%d" % n for n in range(1, len(values) + 1)]
        assert [row.value for row in await store.revisions(other)] == values
        assert [h.number for h in await store.happenings(1)] == list(range(1, len(values) + 1))
        assert store.counters().next_happening == len(values) + 1
        check = await store._reader.call(lambda c: c.execute("PRAGMA integrity_check").fetchall())
        assert check == [("ok",)]
        return len(values)
