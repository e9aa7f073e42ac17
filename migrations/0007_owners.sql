-- Jobs belong to owners. Among the jobs of different owners, queue_priority and place count; among
-- those of one owner, priority and seq do: an owner's most urgent job takes the owner's first place.
-- Before this migration, the two orders were the same.

ALTER TABLE jobs ADD COLUMN queue_priority INTEGER NOT NULL DEFAULT 0;

ALTER TABLE jobs ADD COLUMN place INTEGER NOT NULL DEFAULT 0;

UPDATE jobs SET queue_priority = priority, place = seq;

DROP INDEX jobs_in_queue;

CREATE INDEX jobs_in_queue ON jobs (queue_priority DESC, place) WHERE phase = 'queued';

CREATE INDEX jobs_in_queue_by_owner ON jobs (submitted_by, queue_priority, priority DESC, seq)
WHERE phase = 'queued';

-- Includes the status, so that the index alone is enough to count the jobs of an owner.
CREATE INDEX jobs_by_owner ON jobs (submitted_by, created_at, status);
