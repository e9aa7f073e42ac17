-- The first schema: jobs, their scripts, history, tags, idempotency keys and counts.
-- Times are RFC 3339 UTC text of fixed width, so that they sort as text.

CREATE TABLE server (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Marks the MLflow runs of this server's jobs.
INSERT INTO server (name, value) VALUES ('server_id', lower(hex(randomblob(8))));

CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL UNIQUE CHECK (length(job_id) = 8),
    script_name TEXT NOT NULL,
    script_sha256 TEXT NOT NULL,
    experiment_name TEXT NOT NULL,
    model_name TEXT NOT NULL,
    requirements TEXT NOT NULL,
    environment_vars TEXT NOT NULL,
    timeout INTEGER NOT NULL,
    tags TEXT NOT NULL,
    priority INTEGER NOT NULL,
    warm INTEGER NOT NULL,
    uses_tracking INTEGER NOT NULL,
    retry_of TEXT,
    submitted_by TEXT NOT NULL,
    status TEXT NOT NULL
        CHECK (status IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
    phase TEXT NOT NULL CHECK (phase IN (
        'queued', 'environment', 'starting', 'running', 'stopping', 'recording', 'finished'
    )),
    attempt INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    started_at TEXT,
    cancel_requested_at TEXT,
    reason TEXT CHECK (reason IN (
        'succeeded', 'exit_code', 'signal', 'timeout', 'out_of_memory', 'environment_failed',
        'start_failed', 'cancelled', 'lost'
    )),
    exit_code INTEGER,
    signal TEXT,
    error TEXT,
    detail TEXT,
    ended_at TEXT,
    peak_memory_bytes INTEGER,
    cpu_seconds REAL,
    run_id TEXT,
    model_version TEXT,
    runs TEXT NOT NULL DEFAULT '[]',
    tracking_pending INTEGER NOT NULL DEFAULT 0,
    CHECK ((phase = 'queued') = (status = 'queued')),
    CHECK ((phase = 'finished') = (status IN ('completed', 'failed', 'cancelled'))),
    CHECK ((phase IN ('recording', 'finished')) = (reason IS NOT NULL)),
    CHECK ((reason IS NULL) = (ended_at IS NULL)),
    CHECK (exit_code IS NULL OR signal IS NULL)
) STRICT;

CREATE INDEX jobs_by_age ON jobs (created_at);
CREATE INDEX jobs_by_status ON jobs (status, created_at);
CREATE INDEX jobs_by_experiment ON jobs (experiment_name, created_at);
CREATE INDEX jobs_by_model ON jobs (model_name, created_at);
CREATE INDEX jobs_in_queue ON jobs (priority DESC, seq) WHERE phase = 'queued';
CREATE INDEX jobs_unfinished ON jobs (seq) WHERE phase <> 'finished';
CREATE INDEX jobs_to_track ON jobs (seq) WHERE tracking_pending = 1;

-- A separate table, so that moving a job does not write its script again.
CREATE TABLE job_scripts (
    job_seq INTEGER PRIMARY KEY REFERENCES jobs (seq) ON DELETE CASCADE,
    content BLOB NOT NULL
) STRICT;

CREATE TABLE job_history (
    id INTEGER PRIMARY KEY,
    job_seq INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    status TEXT NOT NULL,
    phase TEXT NOT NULL,
    at TEXT NOT NULL,
    detail TEXT
) STRICT;

CREATE INDEX job_history_by_job ON job_history (job_seq, id);

CREATE TABLE job_tags (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    created_at TEXT NOT NULL,
    job_seq INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    PRIMARY KEY (key, value, created_at, job_seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX job_tags_by_job ON job_tags (job_seq);

-- Outlives its job: keys are kept for at least 24 hours.
CREATE TABLE idempotency_keys (
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    spec_digest TEXT NOT NULL,
    job_id TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;

-- Ids of deleted jobs, which are never reused.
CREATE TABLE retired_job_ids (
    job_id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE job_counts (
    status TEXT PRIMARY KEY,
    jobs INTEGER NOT NULL CHECK (jobs >= 0)
) STRICT, WITHOUT ROWID;

INSERT INTO job_counts (status, jobs)
VALUES ('queued', 0), ('running', 0), ('completed', 0), ('failed', 0), ('cancelled', 0);

CREATE TRIGGER jobs_counted_on_insert AFTER INSERT ON jobs BEGIN
    UPDATE job_counts SET jobs = jobs + 1 WHERE status = new.status;
END;

CREATE TRIGGER jobs_counted_on_delete AFTER DELETE ON jobs BEGIN
    UPDATE job_counts SET jobs = jobs - 1 WHERE status = old.status;
    INSERT INTO retired_job_ids (job_id) VALUES (old.job_id);
END;

CREATE TRIGGER jobs_counted_on_move AFTER UPDATE OF status ON jobs
WHEN new.status <> old.status BEGIN
    UPDATE job_counts SET jobs = jobs - 1 WHERE status = old.status;
    UPDATE job_counts SET jobs = jobs + 1 WHERE status = new.status;
END;
