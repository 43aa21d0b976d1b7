-- Times are microseconds since the Unix epoch. Keys come from the scheduler's counters and are
-- never used twice. Words (status, reason, available) are those of torcd.model.
--
-- What changes is kept apart from what does not, and is narrow: SQLite writes whole pages, so the
-- cost of a change is the number of pages that a batch of them touches.

CREATE TABLE meta (
    id                 INTEGER PRIMARY KEY CHECK (id = 1),
    secret             BLOB    NOT NULL,  -- what job tokens are made from
    next_key           INTEGER NOT NULL,
    next_attempt_key   INTEGER NOT NULL,
    next_event_number  INTEGER NOT NULL
) STRICT;

CREATE TABLE workflow (
    key                INTEGER PRIMARY KEY,
    name               TEXT    NOT NULL,
    description        TEXT,
    user               TEXT,
    directory          TEXT    NOT NULL,
    env                TEXT    NOT NULL,  -- JSON {name: text}: what the spec says
    max_parallel_jobs  INTEGER NOT NULL,
    wait_for_inputs    INTEGER NOT NULL,
    submitted_at       INTEGER NOT NULL,
    status             TEXT    NOT NULL,
    stopping           INTEGER NOT NULL,
    run_id             INTEGER NOT NULL,
    started_at         INTEGER,
    ended_at           INTEGER,
    job_counts         TEXT               -- JSON {status: count}, once it is over; else NULL: count
) STRICT;

-- What its jobs inherit. Apart, so that nothing selects it by accident.
CREATE TABLE workflow_environment (
    workflow_key       INTEGER PRIMARY KEY REFERENCES workflow (key),
    variables          TEXT    NOT NULL   -- JSON {name: text}
) STRICT;

CREATE TABLE job (
    key                INTEGER PRIMARY KEY,
    workflow_key       INTEGER NOT NULL REFERENCES workflow (key),
    name               TEXT    NOT NULL,
    definition         TEXT    NOT NULL   -- JSON of torcd.model.Job
) STRICT;

CREATE INDEX job_of_workflow ON job (workflow_key);

-- A job without a row is blocked and has never run.
CREATE TABLE job_state (
    job_key            INTEGER PRIMARY KEY REFERENCES job (key),
    status             TEXT    NOT NULL,
    stopping           INTEGER NOT NULL,
    reason             TEXT,
    message            TEXT,
    return_code        INTEGER,
    run_id             INTEGER NOT NULL,
    attempt_id         INTEGER NOT NULL,
    started_at         INTEGER,
    ended_at           INTEGER
) STRICT;

CREATE TABLE file (
    key                INTEGER PRIMARY KEY,
    workflow_key       INTEGER NOT NULL REFERENCES workflow (key),
    name               TEXT    NOT NULL,
    path               TEXT    NOT NULL
) STRICT;

CREATE INDEX file_of_workflow ON file (workflow_key);

CREATE TABLE user_data (
    key                INTEGER PRIMARY KEY,
    workflow_key       INTEGER NOT NULL REFERENCES workflow (key),
    name               TEXT    NOT NULL,
    is_ephemeral       INTEGER NOT NULL,
    available          TEXT    NOT NULL,
    has_initial        INTEGER NOT NULL,  -- the spec gave a value; it is revision 1
    newest             INTEGER,           -- key of its newest revision; NULL: no value yet
    UNIQUE (workflow_key, name)
) STRICT;

-- Rows are appended and never changed. Each points to the one before it of the same user_data, so
-- that no index has to be kept: that would touch a page of its own for every value in a batch.
-- `value` comes last, so that the rest can be read without it.
CREATE TABLE revision (
    key                INTEGER PRIMARY KEY,
    data_key           INTEGER NOT NULL REFERENCES user_data (key),
    revision           INTEGER NOT NULL,
    previous           INTEGER,
    run_id             INTEGER NOT NULL,
    attempt_key        INTEGER,           -- NULL: the spec or a person
    stored_at          INTEGER NOT NULL,
    sha256             BLOB    NOT NULL,
    value              BLOB    NOT NULL   -- JSON text
) STRICT;

-- The boots of this machine during which attempts were made.
CREATE TABLE boot (
    key                INTEGER PRIMARY KEY,
    boot_id            TEXT    NOT NULL UNIQUE
) STRICT;

-- What was to run once: of a job, or a command of an action, of which one is NULL.
CREATE TABLE attempt (
    key                INTEGER PRIMARY KEY,
    workflow_key       INTEGER NOT NULL,
    job_key            INTEGER REFERENCES job (key),
    action             INTEGER,           -- position among the workflow's, from 1
    run_id             INTEGER NOT NULL,
    attempt_id         INTEGER NOT NULL,  -- of an action: position of the command, from 1
    boot_key           INTEGER NOT NULL,
    gpus               TEXT,              -- JSON list: those it holds; NULL: none
    status             TEXT    NOT NULL,
    reason             TEXT,
    message            TEXT,
    return_code        INTEGER,
    started_at         INTEGER,
    ended_at           INTEGER,
    cpu_seconds        REAL,
    peak_memory_bytes  INTEGER
) STRICT;

CREATE INDEX attempt_of_run ON attempt (workflow_key, run_id);

-- Happenings that follow one another and belong to one workflow share a row.
CREATE TABLE event (
    first_number       INTEGER PRIMARY KEY,
    workflow_key       INTEGER NOT NULL,
    happenings         TEXT    NOT NULL   -- JSON list of torcd.model.Happening
) STRICT;

CREATE INDEX event_of_workflow ON event (workflow_key);
