"""The warden: the process that owns the local jobs. It spawns, signals and reaps, nothing else.

`ledger` has the nouns and the lines in which they are told, `journal` keeps these where a killed
warden's successor finds them, `attempts` is the work itself, `lanes` say whose turn it is,
`starting` and `reaping` are a process's begin and end, `spawning` makes one, `as_user` those of
other users,
`cgroups` gives each attempt a cgroup where that can be, `processes` tells whose they are otherwise,
`cleaning` ends them, `freezing` has them stand still, `succession` and `orphans` take over from an
earlier warden, `others` tells which are other wardens, `channel` talks to the daemon, and `warden`
is the loop.

The daemon imports `processes` as well; everything here imports the standard library alone, and
little of that: the warden lives as long as the jobs do and should cost next to nothing.
"""
