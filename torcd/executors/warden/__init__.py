"""The warden: the process that owns the local jobs. It spawns, signals and reaps, nothing else.

`ledger` knows what became of each attempt, `lanes` whose turn it is, `journal` keeps it where a
killed warden's successor finds it, `processes` and `orphans` find an attempt's processes,
`spawning` makes new ones, `channel` talks to the daemon, and `warden` puts them together.

The daemon imports `processes` as well; everything here imports the standard library alone, and
little of that: the warden lives as long as the jobs do and should cost next to nothing.
"""
