-- Another spec of the workflow has it no more: it is kept, out of sight, with all that became of it,
-- until the workflow is deleted. NULL: it is there.
ALTER TABLE job ADD COLUMN removed_at INTEGER;
ALTER TABLE file ADD COLUMN removed_at INTEGER;
-- The name of one that is removed ends in a NUL and its key, since another one may be called so.
ALTER TABLE user_data ADD COLUMN removed_at INTEGER;
