#!/usr/bin/env bash
# The demo: `make demo` runs it. A daemon of its own runs a workflow whose jobs pass data; then the
# values are shown, and everything is taken away again.
#
#   BIN=.venv/bin configs/examples/demo.sh [SPEC]
#
# BIN is where python and torcctl are. Everything is kept in .demo in the clone, and nothing is left
# of it, also when the demo fails or is interrupted. The exit code is the run's.
set -u

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
clone=$(cd "$here/../.." && pwd)
bin=$(cd "${BIN:?set BIN to the directory of python and torcctl}" && pwd)
spec=${1:-$here/passing_data.json5}
demo=$clone/.demo
run=

# A socket's path has at most 107 bytes. Where the clone is too deep, the sockets are elsewhere.
runtime=$demo/run
if [ "$(printf %s "$runtime" | wc -c)" -gt 75 ]; then
  runtime=$(mktemp -d "/tmp/torcd-demo.$$.XXXXXX") || exit 1
fi

unset "${!TORC@}"
export PATH=$bin:$PATH
export XDG_RUNTIME_DIR=$runtime XDG_STATE_HOME=$demo/state XDG_CONFIG_HOME=$demo/config

# Stop the daemon, and wait for the process that holds its jobs, which goes when they have gone.
stop_daemon() {
  local status
  status=$(torcctl --json daemon status) || return
  torcctl --quiet daemon stop --jobs terminate
  python - "$status" <<'PYTHON'
import json, os, select, sys
pid = json.loads(sys.argv[1])["warden_pid"]
try:
    gone = os.pidfd_open(pid) if pid else None
except ProcessLookupError:
    gone = None
if gone is not None:
    select.select([gone], [], [])
PYTHON
}

clean_up() {
  trap '' INT TERM HUP
  if [ -n "$run" ]; then  # interrupted
    kill "$run"
    wait "$run"
    # A daemon that was just being started comes up now, so that it can be stopped.
    torcctl --quiet daemon start
  fi 2>/dev/null
  stop_daemon 2>/dev/null
  rm -rf "$demo" "$runtime"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

[ ! -d "$demo" ] || stop_daemon 2>/dev/null  # of a demo that was killed
rm -rf "$demo"
mkdir -p "$demo" && mkdir -p -m 700 "$runtime" || exit 1

# In the background, so that an interrupt reaches this script at once.
torcctl run "$spec" &
run=$!
wait "$run"
code=$?
run=
case $code in
  0 | 4) echo && torcctl data list ;;
esac
exit "$code"
