-- Out of sight in lists, and not to be run again. NULL: no.
ALTER TABLE workflow ADD COLUMN archived_at INTEGER;

-- Gone for everybody; its rows are removed some at a time. NULL: no.
ALTER TABLE workflow ADD COLUMN deleted_at INTEGER;
