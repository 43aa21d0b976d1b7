-- Revisions whose value is in a file of its own, since it is large; `value` is empty then. Two may
-- have one file: an initial value that is there again is the same one.
CREATE TABLE value_file (
    revision_key       INTEGER PRIMARY KEY REFERENCES revision (key),
    name               TEXT    NOT NULL,
    size_bytes         INTEGER NOT NULL
) STRICT;

CREATE INDEX value_file_of_name ON value_file (name);

-- How the names of the files begin that this database makes, see torcd.store.value_files.
ALTER TABLE meta ADD COLUMN life TEXT;
