-- The spec of a workflow as it was submitted, or as an edit has it: JSON. A workflow from before there
-- was this has none.
CREATE TABLE spec (
    workflow_key       INTEGER PRIMARY KEY REFERENCES workflow (key),
    text               BLOB    NOT NULL
) STRICT;

-- What jobs have added to it while they ran, in that order.
CREATE TABLE addition (
    key                INTEGER PRIMARY KEY,
    workflow_key       INTEGER NOT NULL REFERENCES workflow (key),
    adder              INTEGER NOT NULL REFERENCES job (key),
    section            TEXT    NOT NULL,  -- of the spec: jobs, files and so on
    name               TEXT    NOT NULL,
    run_id             INTEGER NOT NULL,  -- and attempt_id: which attempt of the adder said so last
    attempt_id         INTEGER NOT NULL,
    item               BLOB    NOT NULL,  -- JSON: as in the spec
    UNIQUE (workflow_key, adder, section, name)
) STRICT;
