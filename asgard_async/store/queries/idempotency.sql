-- name: find_key^
-- The submission that a key was first used for.
SELECT spec_digest, job_id FROM idempotency_keys WHERE owner = :owner AND key = :key;

-- name: insert_key!
-- The first use of a key.
INSERT INTO idempotency_keys (owner, key, spec_digest, job_id, created_at)
VALUES (:owner, :key, :spec_digest, :job_id, :created_at);

-- name: purge_keys!
-- Delete old keys of deleted jobs.
DELETE FROM idempotency_keys
WHERE created_at < :created_before
AND job_id NOT IN (SELECT job_id FROM jobs);
