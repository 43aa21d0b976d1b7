-- What the spec says of a workflow as a whole, beyond the columns there are for it: JSON of
-- torcd.model.Workflow without its jobs, files and user_data. NULL: from before, or nothing.
ALTER TABLE workflow ADD COLUMN definition TEXT;

-- A JSON Schema that values have to fit. NULL: any value.
ALTER TABLE user_data ADD COLUMN schema TEXT;
