-- name: insert_job<!
-- Append a job to the queue.
INSERT INTO jobs (
    job_id, spec, experiment_name, model_name, priority, queue_priority, place, archive,
    uses_tracking, imports, retry_of, submitted_by, status, phase, created_at
) VALUES (
    :job_id, :spec, :experiment_name, :model_name, :priority, :queue_priority,
    (SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'jobs'), :archive,
    :uses_tracking, :imports, :retry_of, :submitted_by, 'queued', 'queued', :created_at
);

-- name: insert_script!
-- Store the script of a new job.
INSERT INTO job_scripts (job_seq, content) VALUES (:job_seq, :content);

-- name: insert_tag!
-- Store a tag of a new job, or something that it was given, for filtering lists.
INSERT INTO job_tags (key, value, created_at, job_seq)
VALUES (:key, :value, :created_at, :job_seq);

-- name: insert_history!
-- Record a transition.
INSERT INTO job_history (job_seq, status, phase, at, detail)
VALUES (:job_seq, :status, :phase, :at, :detail);

-- name: job_id_taken^
-- Check whether an id is, or ever was, in use.
SELECT 1 FROM jobs WHERE job_id = :job_id
UNION ALL
SELECT 1 FROM retired_job_ids WHERE job_id = :job_id;

-- name: get_reason^
-- The end reason, if there is one.
SELECT reason FROM jobs WHERE job_id = :job_id;

-- name: get_job^
-- The job with an id.
SELECT * FROM jobs WHERE job_id = :job_id;

-- name: get_script^
-- The script of a job as uploaded.
SELECT content FROM job_scripts JOIN jobs ON seq = job_seq WHERE job_id = :job_id;

-- name: get_history
-- All transitions of a job, in order.
SELECT job_history.status, job_history.phase, job_history.at, job_history.detail
FROM job_history JOIN jobs ON seq = job_seq
WHERE job_id = :job_id ORDER BY id;

-- name: queue_entry^
-- The data of a queued job that its position depends on.
SELECT seq, place, submitted_by, queue_priority, priority FROM jobs
WHERE seq = :seq AND phase = 'queued';

-- name: own_urgent^
-- Check whether an owner has queued jobs with a priority that counts only among its own jobs.
SELECT 1 FROM jobs
WHERE phase = 'queued' AND submitted_by = :submitted_by AND queue_priority = :queue_priority
AND priority > queue_priority LIMIT 1;

-- name: place_of^
-- The place in which a job will run. An owner's jobs run in order of their own priorities, in the
-- places that they have together.
SELECT place FROM jobs
WHERE phase = 'queued' AND submitted_by = :submitted_by AND queue_priority = :queue_priority
ORDER BY place LIMIT 1 OFFSET (
    SELECT count(*) FROM jobs
    WHERE phase = 'queued' AND submitted_by = :submitted_by AND queue_priority = :queue_priority
    AND (priority > :priority OR (priority = :priority AND seq < :seq))
);

-- name: queue_position^
-- The number of places up to and including this one.
SELECT count(*) AS position FROM jobs
WHERE phase = 'queued'
AND (queue_priority > :queue_priority OR (queue_priority = :queue_priority AND place <= :place));

-- name: first_in_queue^
-- The first place in the queue, which decides on the owner whose turn it is: highest priority
-- first, then oldest.
SELECT seq, place, submitted_by, queue_priority FROM jobs
WHERE phase = 'queued' ORDER BY queue_priority DESC, place LIMIT 1;

-- name: most_urgent_of^
-- The job that an owner wants to run first, among those with the same priority for others.
SELECT * FROM jobs
WHERE phase = 'queued' AND submitted_by = :submitted_by AND queue_priority = :queue_priority
ORDER BY priority DESC, seq LIMIT 1;

-- name: set_place!
-- Give a queued job another place of its owner.
UPDATE jobs SET place = :place WHERE seq = :seq;

-- name: queued_of^
-- The number of queued jobs of an owner.
SELECT count(*) AS jobs FROM jobs WHERE phase = 'queued' AND submitted_by = :owner;

-- name: unfinished
-- Jobs that a restarted service must take over: neither queued nor finished, oldest first.
SELECT * FROM jobs WHERE phase <> 'finished' AND phase <> 'queued' ORDER BY seq;

-- name: to_track
-- Jobs whose MLflow runs have not been read yet, oldest first.
SELECT * FROM jobs WHERE tracking_pending = 1 AND seq > :after ORDER BY seq LIMIT :limit;

-- name: queued_before
-- Jobs queued since before a time, except requeued ones; not all at once, since each may be large.
SELECT * FROM jobs
WHERE phase = 'queued' AND attempt = 0 AND created_at <= :created_at ORDER BY seq LIMIT 20;

-- name: oldest_queued^
-- The creation time of the oldest queued job, except requeued ones.
SELECT min(created_at) AS created_at FROM jobs WHERE phase = 'queued' AND attempt = 0;

-- name: move_job^
-- The guarded move: returns no row unless the job is in one of the expected phases.
UPDATE jobs SET status = :status, phase = :phase
WHERE job_id = :job_id
AND phase IN (SELECT value FROM json_each(:sources))
AND (:attempt IS NULL OR attempt = :attempt)
RETURNING *;

-- name: set_attempt!
-- Set the number of the attempt that starts next.
UPDATE jobs SET attempt = :attempt WHERE seq = :seq;

-- name: set_started!
-- Record the start of the current attempt's script.
UPDATE jobs SET started_at = :started_at, cold_reason = :cold_reason, isolation = :isolation
WHERE seq = :seq;

-- name: set_cancel_requested!
-- Record a cancel request; the first one counts.
UPDATE jobs SET cancel_requested_at = coalesce(cancel_requested_at, :at) WHERE seq = :seq;

-- name: move_with_outcome^
-- The guarded move into a phase with an outcome.
UPDATE jobs SET
    status = :status, phase = :phase, reason = :reason, exit_code = :exit_code, signal = :signal,
    error = :error, detail = :detail, ended_at = :ended_at,
    peak_memory_bytes = :peak_memory_bytes, cpu_seconds = :cpu_seconds,
    tracking_pending = :tracking_pending
WHERE job_id = :job_id
AND phase IN (SELECT value FROM json_each(:sources))
AND (:attempt IS NULL OR attempt = :attempt)
RETURNING *;

-- name: set_tracking!
-- Store MLflow's data about a job, replacing older data.
UPDATE jobs SET run_id = :run_id, model_version = :model_version, runs = :runs,
    detail = coalesce(:note, detail), tracking_pending = 0
WHERE job_id = :job_id;

-- name: set_final_detail!
-- Add the note on MLflow's data, if any, to the end of a job that has already finished.
UPDATE job_history SET detail = :note
WHERE :note IS NOT NULL AND phase = 'finished' AND job_seq = (SELECT seq FROM jobs WHERE job_id = :job_id);

-- name: tracking_note^
-- The note on MLflow's data about a job in RECORDING. It replaced the detail of the outcome, which
-- is part of the history.
SELECT detail FROM jobs
WHERE job_id = :job_id AND tracking_pending = 0 AND detail IS NOT (
    SELECT job_history.detail FROM job_history
    WHERE job_history.job_seq = jobs.seq ORDER BY job_history.id DESC LIMIT 1
);

-- name: delete_job!
-- Delete a finished job and everything that references it.
DELETE FROM jobs WHERE job_id = :job_id AND phase = 'finished';

-- name: counts
-- The number of jobs by status.
SELECT status, jobs FROM job_counts;

-- name: counts_of
-- The number of an owner's jobs by status.
SELECT status, count(*) AS jobs FROM jobs WHERE submitted_by = :owner GROUP BY status;

-- name: all_job_ids
-- The ids of all jobs, to find files on disk without a job.
SELECT job_id FROM jobs;

-- name: owners_after
-- A page of the owners of all jobs, in the order of acceptance.
SELECT seq, job_id, submitted_by FROM jobs WHERE seq > :after ORDER BY seq LIMIT :limit;

-- name: all_archives
-- The archives of all jobs, to find files without a job.
SELECT archive FROM jobs WHERE archive IS NOT NULL;

-- name: ended
-- Finished jobs.
SELECT job_id, ended_at, archive, tracking_pending FROM jobs WHERE phase = 'finished';

-- name: server_id^
-- The id that marks this server's MLflow runs.
SELECT value FROM server WHERE name = 'server_id';

-- name: unfinished_by_phase
-- The number of unfinished jobs by phase.
SELECT phase, count(*) AS jobs FROM jobs WHERE phase <> 'finished' GROUP BY phase;
