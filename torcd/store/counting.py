"""How many jobs of a workflow are in which state."""

import sqlite3

_COUNT = (
    "SELECT coalesce(s.status, 'blocked') AS status, count(*)"
    " FROM job j LEFT JOIN job_state s ON s.job_key = j.key"
    " WHERE j.workflow_key = ? AND j.removed_at IS NULL"
    # Nobody sees a job that says for_each, once there are jobs for its elements, and all is well.
    " AND NOT (instr(j.definition, '\"for_each\"') > 0"
    " AND coalesce(json_extract(j.definition, '$.for_each.count'), 0) > 0"
    " AND coalesce(s.status, '') NOT IN ('failed', 'canceled', 'terminated'))"
    " GROUP BY 1"
)


def counts_of(connection: sqlite3.Connection, key: int) -> dict[str, int]:
    """Without the zeros, and without those that nobody sees."""
    return dict(connection.execute(_COUNT, (key,)).fetchall())
