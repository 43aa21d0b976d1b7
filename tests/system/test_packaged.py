"""torcd as a packager installs it: programs in /usr/bin, units and snippets below /usr/lib as they
are in the wheel, and systemd's own tools for the rest."""

import json
import shutil
import sys
import sysconfig
from collections.abc import Iterator

import pytest

from tests.system.machine import BIN, ROOT, Machine, booted
from tests.system.test_users import open_the_way, types

pytestmark = pytest.mark.xdist_group("system")

UNITS = ("/usr/lib/systemd/system/torcd.socket", "/usr/lib/systemd/system/torcd.service")

MODULES = (
    f"/usr/lib/torcd/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
)

INSTALL = f"""
cd {ROOT}
{sys.executable} -m hatchling build --target wheel --directory /root/dist >/root/build.log 2>&1 ||
  {{ cat /root/build.log >&2; exit 1; }}
# What torcd depends on comes from other packages: here from the environment of the tests. The torcd
# of that is named there in a file that counts in that environment only.
{sys.executable} -m venv --without-pip /usr/lib/torcd
echo {sysconfig.get_path("purelib")} > {MODULES}/others.pth
{sys.executable} -m pip --python /usr/lib/torcd/bin/python install --quiet --no-deps --no-index \\
  --disable-pip-version-check /root/dist/torcd-*.whl
ln -s /usr/lib/torcd/bin/torcd /usr/lib/torcd/bin/torcctl /usr/bin/
cd {MODULES}/torcctl/systemd
for kind in system user; do cp $kind/* /usr/lib/systemd/$kind/; done
for kind in sysusers.d tmpfiles.d pam.d; do
  mkdir -p /usr/lib/$kind && cp $kind/* /usr/lib/$kind/
done
systemd-sysusers
systemd-tmpfiles --create
systemctl daemon-reload
systemctl enable --quiet --now torcd.socket
useradd --create-home --groups torcd alice
"""


@pytest.fixture(scope="module")
def packaged() -> Iterator[Machine]:
    if shutil.which("systemd-sysusers") is None:
        pytest.skip("systemd-sysusers is not installed")
    with booted() as machine:
        machine.types("bash", "-euc", INSTALL)
        open_the_way(machine)
        yield machine


def test_a_user_runs_a_job_with_the_programs_that_are_installed(packaged: Machine) -> None:
    spec = json.dumps({"jobs": [{"name": "j", "command": "id -un; command -v torcctl"}]})
    path = "PATH=/usr/bin:/bin"
    types(packaged, "alice", "env", path, "torcctl", "-q", "run", "-", stdin=spec)
    said = types(packaged, "alice", "env", path, "torcctl", "logs", "j").stdout
    assert said.splitlines() == ["alice", "/usr/bin/torcctl"]
    assert packaged.property("torcd.service", "ActiveState") == "active"
    unit = packaged.property("torcd.service", "FragmentPath")
    assert unit.removeprefix("/usr") == UNITS[1].removeprefix("/usr")  # /lib may be /usr/lib
    pid = packaged.property("torcd.service", "MainPID")
    assert str(BIN) not in packaged.shell(f"tr '\\0' '\\n' < /proc/{pid}/cmdline")


def test_systemd_finds_nothing_wrong_with_the_units_as_they_are_shipped(packaged: Machine) -> None:
    done = packaged.types("systemd-analyze", "verify", *UNITS)
    assert (done.stdout, done.stderr) == ("", "")
