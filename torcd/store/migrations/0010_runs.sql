-- The first so many runs are kept no more. What is left of them is removed some rows at a time, but
-- for what the present state of jobs refers to.
ALTER TABLE workflow ADD COLUMN removed_runs INTEGER NOT NULL DEFAULT 0;

-- Who stored what is kept, of attempts in such runs: revisions stay, and refer to them.
CREATE TABLE storer (
    attempt_key        INTEGER PRIMARY KEY,
    workflow_key       INTEGER NOT NULL,
    job_key            INTEGER NOT NULL REFERENCES job (key),
    attempt_id         INTEGER NOT NULL
) STRICT;

CREATE INDEX storer_of_workflow ON storer (workflow_key);
