-- Since when what runs of a workflow stands still; NULL: it does not.
ALTER TABLE workflow ADD COLUMN frozen_since INTEGER;

-- How long an attempt has been frozen, before the present freeze if there is one.
ALTER TABLE attempt ADD COLUMN frozen_microseconds INTEGER NOT NULL DEFAULT 0;
