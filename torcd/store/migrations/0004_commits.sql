-- How often this database has been written to. `torcd.db-mark` keeps the same number outside, so an
-- older copy in its place is found out.
ALTER TABLE meta ADD COLUMN commits INTEGER NOT NULL DEFAULT 0;
