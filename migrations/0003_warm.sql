-- What a job's program is known to import at most (JSON; NULL where that is not known), by which it
-- is decided whether it starts warm; and why it started cold, NULL for a warm start or none yet.

ALTER TABLE jobs ADD COLUMN imports TEXT;

ALTER TABLE jobs ADD COLUMN cold_reason TEXT CHECK (cold_reason IN (
    'off', 'requested', 'imports', 'modules', 'variables', 'requirements', 'memory_limit', 'no_server',
    'not_ready', 'server_lost'
));

-- There was no other start before.
UPDATE jobs SET cold_reason = 'off' WHERE started_at IS NOT NULL;
