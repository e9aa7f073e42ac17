-- Written by the service of commit a2f5552, the last that knew migration 0001 alone: jobs in every
-- status, then kill -9 with one running and three queued. Archives came with 0002.
BEGIN TRANSACTION;
CREATE TABLE idempotency_keys (
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    spec_digest TEXT NOT NULL,
    job_id TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;
INSERT INTO "idempotency_keys" VALUES('','completed','e4aee4d13187b258ac2b56f43713ae6b0933c7519b72152082ac1a786e5aa16b','77ebac11','2026-11-23T04:50:34.836352Z');
INSERT INTO "idempotency_keys" VALUES('','deleted','ff998767af4713ab8ef2797412cfa9fa484dabea8c0b68c7eb9b6b23e4c5a92f','4c6a6726','2026-11-23T04:50:50.399086Z');
INSERT INTO "idempotency_keys" VALUES('','queued','9c61b5f90ea86280b7a7a7670e3044929448a646826daa6703c5121b65b8f1fb','529ca7af','2026-11-23T04:50:51.425660Z');
INSERT INTO "idempotency_keys" VALUES('','running','937241551ab413712759ac26c8c74751d83f45471af8a2ba04a6ca3829455fc2','3cb2da7b','2026-11-23T04:50:51.033163Z');
CREATE TABLE job_counts (
    status TEXT PRIMARY KEY,
    jobs INTEGER NOT NULL CHECK (jobs >= 0)
) STRICT, WITHOUT ROWID;
INSERT INTO "job_counts" VALUES('cancelled',1);
INSERT INTO "job_counts" VALUES('completed',2);
INSERT INTO "job_counts" VALUES('failed',5);
INSERT INTO "job_counts" VALUES('queued',3);
INSERT INTO "job_counts" VALUES('running',1);
CREATE TABLE job_history (
    id INTEGER PRIMARY KEY,
    job_seq INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    status TEXT NOT NULL,
    phase TEXT NOT NULL,
    at TEXT NOT NULL,
    detail TEXT
) STRICT;
INSERT INTO "job_history" VALUES(1,1,'queued','queued','2026-11-23T04:50:34.836352Z',NULL);
INSERT INTO "job_history" VALUES(2,1,'running','starting','2026-11-23T04:50:34.859965Z',NULL);
INSERT INTO "job_history" VALUES(3,1,'running','running','2026-11-23T04:50:35.057117Z',NULL);
INSERT INTO "job_history" VALUES(4,1,'running','recording','2026-11-23T04:50:35.242017Z',NULL);
INSERT INTO "job_history" VALUES(5,1,'completed','finished','2026-11-23T04:50:35.250635Z',NULL);
INSERT INTO "job_history" VALUES(6,2,'queued','queued','2026-11-23T04:50:35.267435Z',NULL);
INSERT INTO "job_history" VALUES(7,2,'running','starting','2026-11-23T04:50:35.274375Z',NULL);
INSERT INTO "job_history" VALUES(8,2,'running','running','2026-11-23T04:50:35.431201Z',NULL);
INSERT INTO "job_history" VALUES(9,2,'running','recording','2026-11-23T04:50:35.585509Z',NULL);
INSERT INTO "job_history" VALUES(10,2,'failed','finished','2026-11-23T04:50:35.596138Z',NULL);
INSERT INTO "job_history" VALUES(11,3,'queued','queued','2026-11-23T04:50:35.637383Z',NULL);
INSERT INTO "job_history" VALUES(12,3,'running','starting','2026-11-23T04:50:35.641776Z',NULL);
INSERT INTO "job_history" VALUES(13,3,'running','running','2026-11-23T04:50:35.809813Z',NULL);
INSERT INTO "job_history" VALUES(14,3,'running','recording','2026-11-23T04:50:35.982830Z',NULL);
INSERT INTO "job_history" VALUES(15,3,'failed','finished','2026-11-23T04:50:35.984988Z',NULL);
INSERT INTO "job_history" VALUES(16,4,'queued','queued','2026-11-23T04:50:36.007794Z',NULL);
INSERT INTO "job_history" VALUES(17,4,'running','starting','2026-11-23T04:50:36.016188Z',NULL);
INSERT INTO "job_history" VALUES(18,4,'running','running','2026-11-23T04:50:36.152251Z',NULL);
INSERT INTO "job_history" VALUES(19,4,'running','recording','2026-11-23T04:50:36.298395Z',NULL);
INSERT INTO "job_history" VALUES(20,4,'failed','finished','2026-11-23T04:50:36.308743Z',NULL);
INSERT INTO "job_history" VALUES(21,5,'queued','queued','2026-11-23T04:50:36.354935Z',NULL);
INSERT INTO "job_history" VALUES(22,5,'running','starting','2026-11-23T04:50:36.371315Z',NULL);
INSERT INTO "job_history" VALUES(23,5,'running','running','2026-11-23T04:50:36.585234Z',NULL);
INSERT INTO "job_history" VALUES(24,5,'running','recording','2026-11-23T04:50:37.641440Z',NULL);
INSERT INTO "job_history" VALUES(25,5,'failed','finished','2026-11-23T04:50:37.646848Z',NULL);
INSERT INTO "job_history" VALUES(26,6,'queued','queued','2026-11-23T04:50:37.717444Z',NULL);
INSERT INTO "job_history" VALUES(27,6,'running','starting','2026-11-23T04:50:37.740430Z',NULL);
INSERT INTO "job_history" VALUES(28,6,'running','running','2026-11-23T04:50:37.974753Z',NULL);
INSERT INTO "job_history" VALUES(29,6,'running','recording','2026-11-23T04:50:38.158035Z',NULL);
INSERT INTO "job_history" VALUES(30,6,'failed','finished','2026-11-23T04:50:38.159025Z',NULL);
INSERT INTO "job_history" VALUES(31,7,'queued','queued','2026-11-23T04:50:38.174791Z',NULL);
INSERT INTO "job_history" VALUES(32,7,'running','starting','2026-11-23T04:50:38.175982Z',NULL);
INSERT INTO "job_history" VALUES(33,7,'running','running','2026-11-23T04:50:38.358733Z',NULL);
INSERT INTO "job_history" VALUES(34,7,'running','recording','2026-11-23T04:50:50.171686Z',NULL);
INSERT INTO "job_history" VALUES(35,7,'completed','finished','2026-11-23T04:50:50.374207Z',NULL);
INSERT INTO "job_history" VALUES(36,9,'queued','queued','2026-11-23T04:50:51.033163Z',NULL);
INSERT INTO "job_history" VALUES(37,9,'running','starting','2026-11-23T04:50:51.041395Z',NULL);
INSERT INTO "job_history" VALUES(38,9,'running','running','2026-11-23T04:50:51.241321Z',NULL);
INSERT INTO "job_history" VALUES(39,10,'queued','queued','2026-11-23T04:50:51.361134Z',NULL);
INSERT INTO "job_history" VALUES(40,10,'cancelled','finished','2026-11-23T04:50:51.373426Z',NULL);
INSERT INTO "job_history" VALUES(41,11,'queued','queued','2026-11-23T04:50:51.410053Z',NULL);
INSERT INTO "job_history" VALUES(42,12,'queued','queued','2026-11-23T04:50:51.425660Z',NULL);
INSERT INTO "job_history" VALUES(43,13,'queued','queued','2026-11-23T04:50:51.465437Z',NULL);
CREATE TABLE job_scripts (
    job_seq INTEGER PRIMARY KEY REFERENCES jobs (seq) ON DELETE CASCADE,
    content BLOB NOT NULL
) STRICT;
INSERT INTO "job_scripts" VALUES(1,X'7072696E742827636F6D706C657465642729');
INSERT INTO "job_scripts" VALUES(2,X'696D706F7274207379730A7379732E65786974283329');
INSERT INTO "job_scripts" VALUES(3,X'72616973652056616C75654572726F7228276E6F20646174612729');
INSERT INTO "job_scripts" VALUES(4,X'696D706F7274206F732C207369676E616C0A6F732E6B696C6C286F732E67657470696428292C207369676E616C2E5349474B494C4C29');
INSERT INTO "job_scripts" VALUES(5,X'696D706F72742074696D650A74696D652E736C6565702836303029');
INSERT INTO "job_scripts" VALUES(6,X'78203D205B305D202A2031302A2A3134');
INSERT INTO "job_scripts" VALUES(7,X'7472793A0A20202020696D706F7274206D6C666C6F770A65786365707420496D706F72744572726F723A0A20202020706173730A');
INSERT INTO "job_scripts" VALUES(9,X'696D706F72742074696D650A7072696E74282772756E73272C20666C7573683D54727565290A74696D652E736C6565702836303029');
INSERT INTO "job_scripts" VALUES(10,X'7072696E7428276E657665722729');
INSERT INTO "job_scripts" VALUES(11,X'7072696E7428276C6F772729');
INSERT INTO "job_scripts" VALUES(12,X'7072696E7428277175657565642729');
INSERT INTO "job_scripts" VALUES(13,X'7072696E742827636F6D706C657465642729');
CREATE TABLE job_tags (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    created_at TEXT NOT NULL,
    job_seq INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    PRIMARY KEY (key, value, created_at, job_seq)
) STRICT, WITHOUT ROWID;
INSERT INTO "job_tags" VALUES('note','ü','2026-11-23T04:50:34.836352Z',1);
INSERT INTO "job_tags" VALUES('team','a','2026-11-23T04:50:34.836352Z',1);
INSERT INTO "job_tags" VALUES('team','b','2026-11-23T04:50:51.425660Z',12);
INSERT INTO "job_tags" VALUES('note','ü','2026-11-23T04:50:51.465437Z',13);
INSERT INTO "job_tags" VALUES('team','a','2026-11-23T04:50:51.465437Z',13);
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
INSERT INTO "jobs" VALUES(1,'77ebac11','train.py','d94e173cc3258277d56d874bbc3883e0f6d7739f6802196019d33638b169b12a','experiment','model','["idna"]','{"LEVEL":"3"}',300,'{"team":"a","note":"ü"}',0,1,0,NULL,'','completed','finished',1,'2026-11-23T04:50:34.836352Z','2026-11-23T04:50:35.029616Z',NULL,'succeeded',0,NULL,NULL,NULL,'2026-11-23T04:50:35.221915Z',11083776,0.044617,NULL,NULL,'[]',1);
INSERT INTO "jobs" VALUES(2,'e91f1f87','train.py','e249cdb58512957ab0b3a8d42207d588d9f340d4e64d7a001a583f088a1c1c40','experiment','model','[]','{}',300,'{}',0,1,0,NULL,'','failed','finished',1,'2026-11-23T04:50:35.267435Z','2026-11-23T04:50:35.392017Z',NULL,'exit_code',3,NULL,'The script exited with code 3.',NULL,'2026-11-23T04:50:35.557454Z',11026432,4.34229999999999963233e-02,NULL,NULL,'[]',1);
INSERT INTO "jobs" VALUES(3,'05224cfc','train.py','a51c4e71dcc1b72929c4520e804af842049013297dd873348b0887d87d00a6d5','experiment','model','[]','{}',300,'{}',0,1,0,NULL,'','failed','finished',1,'2026-11-23T04:50:35.637383Z','2026-11-23T04:50:35.785475Z',NULL,'exit_code',1,NULL,'The script exited with code 1.
ValueError: no data',NULL,'2026-11-23T04:50:35.965179Z',11026432,4.5616999999999990889e-02,NULL,NULL,'[]',1);
INSERT INTO "jobs" VALUES(4,'7b3f410b','train.py','e99ff3e1be7a39a1f98a2d848d9e731a83167e72f3d3ad7fcf059633ff737412','experiment','model','[]','{}',300,'{}',0,1,0,NULL,'','failed','finished',1,'2026-11-23T04:50:36.007794Z','2026-11-23T04:50:36.133567Z',NULL,'signal',NULL,'SIGKILL','The script was ended by SIGKILL.',NULL,'2026-11-23T04:50:36.285362Z',11059200,0.038304,NULL,NULL,'[]',1);
INSERT INTO "jobs" VALUES(5,'05199711','train.py','86cb88fbc4c5d4442088fc21d00c35f867f9a033b64815e9fdf72d785de0e341','experiment','model','[]','{}',1,'{}',0,1,0,NULL,'','failed','finished',1,'2026-11-23T04:50:36.354935Z','2026-11-23T04:50:36.555124Z',NULL,'timeout',NULL,'SIGTERM','The script ran longer than its timeout of 1 s.',NULL,'2026-11-23T04:50:37.594728Z',11182080,2.68899999999999972377e-02,NULL,NULL,'[]',1);
INSERT INTO "jobs" VALUES(6,'7409a365','train.py','e4ff74ae6f2f3061e911d089b160d39e2a111d2c2e564624abf5483305c9384c','experiment','model','[]','{}',300,'{}',0,1,0,NULL,'','failed','finished',1,'2026-11-23T04:50:37.717444Z','2026-11-23T04:50:37.926133Z',NULL,'exit_code',1,NULL,'The script exited with code 1. Hint: The job ran out of memory: use less data at a time or smaller types (float32), or fewer workers (n_jobs). The administrator may allow more: [limits] memory_mb.
MemoryError',NULL,'2026-11-23T04:50:38.133263Z',11026432,0.037925,NULL,NULL,'[]',1);
INSERT INTO "jobs" VALUES(7,'d4401009','train.py','d9a5bfc1d49bba25c980426f6555474a46e850eed634fc6a70b07b3492fd066d','experiment','model','[]','{}',300,'{}',0,1,1,NULL,'','completed','finished',1,'2026-11-23T04:50:38.174791Z','2026-11-23T04:50:38.325373Z',NULL,'succeeded',0,NULL,NULL,NULL,'2026-11-23T04:50:50.160322Z',175988736,2.48920300000000027651e+00,NULL,NULL,'[]',1);
INSERT INTO "jobs" VALUES(9,'3cb2da7b','train.py','19f78a25be165abd57ea868256617017df99fcf442508e1f0654eedc89d620f2','experiment','model','[]','{}',300,'{}',0,1,0,NULL,'','running','running',1,'2026-11-23T04:50:51.033163Z','2026-11-23T04:50:51.213511Z',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[]',0);
INSERT INTO "jobs" VALUES(10,'7cc52a86','train.py','ff936d4d400860d79f6761a08c14caf9e3d3e0e647388ee050fbff39d557731a','experiment','model','[]','{}',300,'{}',0,1,0,NULL,'','cancelled','finished',0,'2026-11-23T04:50:51.361134Z',NULL,'2026-11-23T04:50:51.373426Z','cancelled',NULL,NULL,'The job was cancelled before it started.',NULL,'2026-11-23T04:50:51.373426Z',NULL,NULL,NULL,NULL,'[]',0);
INSERT INTO "jobs" VALUES(11,'588d814d','train.py','6f436cc0f8901406479a7128c7205ee1db07d115439ce455ca6670f68cd14318','experiment','model','[]','{}',300,'{}',-5,1,0,NULL,'','queued','queued',0,'2026-11-23T04:50:51.410053Z',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[]',0);
INSERT INTO "jobs" VALUES(12,'529ca7af','train.py','8021244943a556aec45e9023b4faf8250634fb7fc6e0e16580f088acbec1cecc','experiment','model','[]','{}',300,'{"team":"b"}',0,1,0,NULL,'','queued','queued',0,'2026-11-23T04:50:51.425660Z',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[]',0);
INSERT INTO "jobs" VALUES(13,'7be7ee7c','train.py','d94e173cc3258277d56d874bbc3883e0f6d7739f6802196019d33638b169b12a','experiment','model','["idna"]','{"LEVEL":"3"}',300,'{"team":"a","note":"ü"}',0,1,0,'77ebac11','','queued','queued',0,'2026-11-23T04:50:51.465437Z',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[]',0);
CREATE TABLE retired_job_ids (
    job_id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
INSERT INTO "retired_job_ids" VALUES('4c6a6726');
CREATE TABLE server (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "server" VALUES('server_id','5d13785a39e2e7fe');
CREATE INDEX jobs_by_age ON jobs (created_at);
CREATE INDEX jobs_by_status ON jobs (status, created_at);
CREATE INDEX jobs_by_experiment ON jobs (experiment_name, created_at);
CREATE INDEX jobs_by_model ON jobs (model_name, created_at);
CREATE INDEX jobs_in_queue ON jobs (priority DESC, seq) WHERE phase = 'queued';
CREATE INDEX jobs_unfinished ON jobs (seq) WHERE phase <> 'finished';
CREATE INDEX jobs_to_track ON jobs (seq) WHERE tracking_pending = 1;
CREATE INDEX job_history_by_job ON job_history (job_seq, id);
CREATE INDEX job_tags_by_job ON job_tags (job_seq);
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
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('jobs',13);
COMMIT;
PRAGMA user_version = 1;
