-- name: find_key^
-- The first submission with a key.
SELECT spec_digest, job_id FROM idempotency_keys WHERE owner = :owner AND key = :key;

-- name: insert_key!
-- Record the first use of a key.
INSERT INTO idempotency_keys (owner, key, spec_digest, job_id, created_at)
VALUES (:owner, :key, :spec_digest, :job_id, :created_at);

-- name: purge_keys!
-- Delete keys older than 24 hours whose job is deleted.
DELETE FROM idempotency_keys
WHERE created_at < :created_before
AND job_id NOT IN (SELECT job_id FROM jobs);
