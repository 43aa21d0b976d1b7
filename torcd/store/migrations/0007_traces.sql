-- What is known of a file's content, as it was when somebody looked last. Files that were not there
-- have no row.
CREATE TABLE file_state (
    file_key           INTEGER PRIMARY KEY REFERENCES file (key),
    size               INTEGER NOT NULL,
    mtime_ns           INTEGER NOT NULL,
    inode              INTEGER NOT NULL,
    sha256             BLOB    NOT NULL
) STRICT;

-- What the last attempt of a job that completed saw, whatever became of the job since: digests, of
-- 16 bytes. NULL: it never completed, or before there was this.
ALTER TABLE job_state ADD COLUMN trace_attempt INTEGER;
ALTER TABLE job_state ADD COLUMN trace_definition BLOB;
ALTER TABLE job_state ADD COLUMN trace_given BLOB;    -- NULL: nobody can tell what it read
ALTER TABLE job_state ADD COLUMN trace_made BLOB;
ALTER TABLE job_state ADD COLUMN trace_made_at INTEGER;

-- It need not run in this run if its inputs turn out to be as they were.
ALTER TABLE job_state ADD COLUMN may_skip INTEGER NOT NULL DEFAULT 0;

-- It has no value, though it has revisions.
ALTER TABLE user_data ADD COLUMN cleared INTEGER NOT NULL DEFAULT 0;

-- The next attempt's key when it last became another value.
ALTER TABLE user_data ADD COLUMN changed_at INTEGER NOT NULL DEFAULT 0;

-- Another attempt is to be made of a job that ended badly, not before that time. `reason`, `message`
-- and `return_code` are those of its bad end. NULL: no.
ALTER TABLE job_state ADD COLUMN retry_at INTEGER;

-- To be run before it; NULL: there is none, or it has been.
ALTER TABLE job_state ADD COLUMN recovery_script TEXT;

-- It is that of a recovery script, run because of the attempt of that number.
ALTER TABLE attempt ADD COLUMN is_recovery INTEGER NOT NULL DEFAULT 0;
