-- Who submitted it, by uid and by the name of that user at that time; its jobs run as that user. NULL:
-- from before, when it was the daemon's own user.
ALTER TABLE workflow ADD COLUMN owner_uid INTEGER;
ALTER TABLE workflow ADD COLUMN owner_name TEXT;
