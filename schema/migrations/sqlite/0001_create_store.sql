CREATE TABLE users (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    username      TEXT NOT NULL UNIQUE,
    email         TEXT UNIQUE,
    password_hash TEXT NOT NULL,
    full_name     TEXT,
    role          TEXT NOT NULL DEFAULT 'inspector'
                  CHECK (role IN ('inspector', 'supervisor', 'technician', 'admin')),
    created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    server_id     TEXT NOT NULL UNIQUE,
    is_active     INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    row_version   INTEGER NOT NULL DEFAULT 0,
    row_sha256    TEXT
) STRICT;
CREATE TABLE login_tokens (
    token_sha256  TEXT PRIMARY KEY,
    user_id       INTEGER NOT NULL REFERENCES users (id),
    created_at    TEXT NOT NULL,
    expires_at    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE inspection_targets_master (
    id            TEXT PRIMARY KEY,
    product_code  TEXT NOT NULL UNIQUE,
    product_name  TEXT NOT NULL,
    version       TEXT NOT NULL,
    description   TEXT,
    created_at    TEXT NOT NULL,
    updated_at    TEXT NOT NULL,
    created_by    TEXT,
    is_active     INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    row_version   INTEGER NOT NULL DEFAULT 0,
    row_sha256    TEXT
) STRICT;
CREATE INDEX idx_inspection_targets_product_code ON inspection_targets_master (product_code);
CREATE TABLE pipelines (
    id                 TEXT PRIMARY KEY,
    code               TEXT NOT NULL UNIQUE,
    name               TEXT NOT NULL,
    description        TEXT,
    definition         TEXT NOT NULL,
    sha256             TEXT NOT NULL,
    definition_version TEXT NOT NULL,
    version            INTEGER NOT NULL DEFAULT 1,
    created_at         TEXT NOT NULL,
    updated_at         TEXT NOT NULL,
    created_by         TEXT,
    is_active          INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    row_version        INTEGER NOT NULL DEFAULT 0,
    row_sha256         TEXT
) STRICT;
CREATE INDEX idx_pipelines_name ON pipelines (name);
CREATE TABLE inspection_items_master (
    id              TEXT PRIMARY KEY,
    target_id       TEXT NOT NULL REFERENCES inspection_targets_master (id),
    item_code       TEXT NOT NULL,
    item_name       TEXT NOT NULL,
    inspection_type TEXT NOT NULL CHECK (inspection_type IN ('VISUAL', 'DIMENSION', 'FUNCTION', 'TEXT')),
    ai_enabled      INTEGER NOT NULL DEFAULT 0 CHECK (ai_enabled IN (0, 1)),
    pipeline_id     TEXT REFERENCES pipelines (id),
    criteria        TEXT NOT NULL,
    order_sequence  INTEGER NOT NULL,
    required        INTEGER NOT NULL DEFAULT 1 CHECK (required IN (0, 1)),
    created_at      TEXT NOT NULL,
    updated_at      TEXT NOT NULL,
    is_active       INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    row_version     INTEGER NOT NULL DEFAULT 0,
    row_sha256      TEXT,
    UNIQUE (target_id, item_code)
) STRICT;
CREATE INDEX idx_inspection_items_target_sequence ON inspection_items_master (target_id, order_sequence);
CREATE INDEX idx_inspection_items_pipeline ON inspection_items_master (pipeline_id);
CREATE TABLE model_packages (
    name           TEXT NOT NULL,
    version        TEXT NOT NULL,
    task           TEXT NOT NULL,
    model_sha256   TEXT NOT NULL,
    manifest       TEXT NOT NULL,
    golden_results TEXT NOT NULL DEFAULT '[]',
    installed_at   TEXT NOT NULL,
    activated_at   TEXT,
    is_active      INTEGER NOT NULL DEFAULT 0 CHECK (is_active IN (0, 1)),
    PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX idx_model_packages_active ON model_packages (name) WHERE is_active = 1;
CREATE TABLE calibrations (
    name        TEXT PRIMARY KEY,
    um_per_px   REAL NOT NULL CHECK (um_per_px > 0),
    valid_until TEXT NOT NULL,
    method      TEXT NOT NULL,
    detail      TEXT NOT NULL DEFAULT '{}',
    created_at  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE inspection_targets (
    id           TEXT PRIMARY KEY,
    product_id   TEXT NOT NULL REFERENCES inspection_targets_master (id),
    batch_id     TEXT NOT NULL,
    qr_code      TEXT NOT NULL,
    serial_no    TEXT NOT NULL DEFAULT '',
    product_code TEXT NOT NULL,
    created_at   TEXT NOT NULL,
    updated_at   TEXT NOT NULL
) STRICT;
CREATE INDEX idx_inspection_targets_qr_code ON inspection_targets (qr_code, id);
CREATE INDEX idx_inspection_targets_serial ON inspection_targets (serial_no) WHERE serial_no <> '';
CREATE INDEX idx_inspection_targets_batch ON inspection_targets (batch_id) WHERE batch_id <> '';
CREATE TABLE inspection_sessions (
    id                TEXT PRIMARY KEY,
    target_id         TEXT NOT NULL REFERENCES inspection_targets (id),
    user_id           INTEGER REFERENCES users (id),
    status            TEXT NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'IN_PROGRESS',
                      'AI_COMPLETED', 'HUMAN_REVIEW', 'COMPLETED', 'FAILED', 'CANCELLED')),
    started_at        TEXT NOT NULL,
    completed_at      TEXT,
    product_id        TEXT NOT NULL REFERENCES inspection_targets_master (id),
    work_day          TEXT NOT NULL,
    source            TEXT NOT NULL DEFAULT 'inspector' CHECK (source IN ('inspector', 'folder')),
    accept_ai_ok      INTEGER NOT NULL DEFAULT 0 CHECK (accept_ai_ok IN (0, 1)),
    final_result      TEXT CHECK (final_result IN ('OK', 'NG', 'REVIEW')),
    reason            TEXT,
    master_version    TEXT NOT NULL DEFAULT '',
    criteria_snapshot TEXT NOT NULL,
    version           INTEGER NOT NULL DEFAULT 1,
    updated_at        TEXT NOT NULL
) STRICT;
CREATE INDEX idx_inspection_sessions_status_completed ON inspection_sessions (status, completed_at);
CREATE INDEX idx_inspection_sessions_started ON inspection_sessions (started_at, id);
CREATE INDEX idx_inspection_sessions_status_started ON inspection_sessions (status, started_at, id);
CREATE INDEX idx_inspection_sessions_product_status ON inspection_sessions (product_id, status, started_at, id);
CREATE INDEX idx_inspection_sessions_user_status ON inspection_sessions (user_id, status, started_at, id);
CREATE INDEX idx_inspection_sessions_user_product_status
    ON inspection_sessions (user_id, product_id, status, started_at, id);
CREATE INDEX idx_inspection_sessions_target ON inspection_sessions (target_id, started_at);
CREATE TABLE inspection_images (
    id          TEXT PRIMARY KEY,
    session_id  TEXT NOT NULL REFERENCES inspection_sessions (id),
    file_path   TEXT NOT NULL,
    image_type  TEXT NOT NULL DEFAULT 'capture',
    file_size   INTEGER NOT NULL,
    created_at  TEXT NOT NULL,
    item_id     TEXT NOT NULL REFERENCES inspection_items_master (id),
    sha256      TEXT NOT NULL,
    mime_type   TEXT NOT NULL,
    width_px    INTEGER NOT NULL,
    height_px   INTEGER NOT NULL,
    captured_at TEXT NOT NULL,
    captured_by INTEGER REFERENCES users (id),
    source      TEXT NOT NULL CHECK (source IN ('camera', 'folder', 'upload')),
    origin      TEXT NOT NULL DEFAULT '',
    state       TEXT NOT NULL DEFAULT 'captured'
                CHECK (state IN ('captured', 'inspecting', 'inspected', 'failed')),
    attempts    INTEGER NOT NULL DEFAULT 0,
    failure     TEXT,
    uploaded_at TEXT,
    evicted_at  TEXT,
    upload_lane INTEGER NOT NULL DEFAULT 3 CHECK (upload_lane IN (2, 3))
) STRICT;
CREATE INDEX idx_inspection_images_session ON inspection_images (session_id, item_id, id);
CREATE INDEX idx_inspection_images_sha256 ON inspection_images (sha256);
CREATE INDEX idx_inspection_images_upload ON inspection_images (upload_lane, id) WHERE uploaded_at IS NULL;
CREATE INDEX idx_inspection_images_kept ON inspection_images (upload_lane, id)
    WHERE uploaded_at IS NOT NULL AND evicted_at IS NULL;
CREATE INDEX idx_inspection_images_open ON inspection_images (state, id) WHERE state IN ('captured', 'inspecting');
CREATE TABLE ai_inspection_results (
    id               TEXT PRIMARY KEY,
    session_id       TEXT NOT NULL REFERENCES inspection_sessions (id),
    pipeline_version TEXT,
    overall_result   TEXT NOT NULL CHECK (overall_result IN ('OK', 'NG', 'REVIEW', 'ERROR')),
    confidence       REAL NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    processing_time  REAL NOT NULL,
    detailed_results TEXT,
    created_at       TEXT NOT NULL,
    item_id          TEXT NOT NULL REFERENCES inspection_items_master (id),
    image_id         TEXT NOT NULL REFERENCES inspection_images (id),
    pipeline_id      TEXT REFERENCES pipelines (id),
    pipeline_sha256  TEXT,
    criteria_sha256  TEXT NOT NULL,
    model_sha256s    TEXT NOT NULL DEFAULT '[]',
    provider         TEXT,
    sample_weight    REAL
) STRICT;
CREATE INDEX idx_ai_results_confidence_time ON ai_inspection_results (confidence, created_at);
CREATE INDEX idx_ai_results_image ON ai_inspection_results (image_id, id);
CREATE INDEX idx_ai_results_session ON ai_inspection_results (session_id, id);
CREATE TABLE human_verification_results (
    id                TEXT PRIMARY KEY,
    session_id        TEXT NOT NULL REFERENCES inspection_sessions (id),
    user_id           INTEGER NOT NULL REFERENCES users (id),
    final_result      TEXT NOT NULL CHECK (final_result IN ('OK', 'NG', 'HOLD')),
    notes             TEXT,
    verification_time REAL NOT NULL,
    created_at        TEXT NOT NULL,
    item_id           TEXT REFERENCES inspection_items_master (id),
    image_id          TEXT REFERENCES inspection_images (id),
    reason_code       TEXT,
    saw_ai            INTEGER NOT NULL DEFAULT 1 CHECK (saw_ai IN (0, 1)),
    checks            TEXT,
    region            TEXT,
    supersedes        TEXT REFERENCES human_verification_results (id)
) STRICT;
CREATE INDEX idx_human_results_final_date ON human_verification_results (final_result, created_at);
CREATE INDEX idx_human_results_session ON human_verification_results (session_id, id);

CREATE TRIGGER ai_inspection_results_no_update BEFORE UPDATE ON ai_inspection_results
BEGIN SELECT RAISE(ABORT, 'ai_inspection_results is insert-only'); END;
CREATE TRIGGER ai_inspection_results_no_delete BEFORE DELETE ON ai_inspection_results
BEGIN SELECT RAISE(ABORT, 'ai_inspection_results is insert-only'); END;
CREATE TRIGGER human_verification_results_no_update BEFORE UPDATE ON human_verification_results
BEGIN SELECT RAISE(ABORT, 'human_verification_results is insert-only'); END;
CREATE TRIGGER human_verification_results_no_delete BEFORE DELETE ON human_verification_results
BEGIN SELECT RAISE(ABORT, 'human_verification_results is insert-only'); END;
CREATE TABLE item_verdicts (
    session_id        TEXT NOT NULL REFERENCES inspection_sessions (id),
    item_id           TEXT NOT NULL REFERENCES inspection_items_master (id),
    image_id          TEXT,
    ai_result_id      TEXT,
    ai_result         TEXT NOT NULL DEFAULT '',
    human_result_id   TEXT,
    human_result      TEXT NOT NULL DEFAULT '',
    reason_code       TEXT NOT NULL DEFAULT '',
    user_id           INTEGER NOT NULL DEFAULT 0,
    verification_time REAL NOT NULL DEFAULT 0,
    weight            REAL NOT NULL DEFAULT 1,
    review            TEXT,
    updated_at        TEXT NOT NULL,
    is_closed         INTEGER NOT NULL DEFAULT 0 CHECK (is_closed IN (0, 1)),
    PRIMARY KEY (session_id, item_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX idx_item_verdicts_review ON item_verdicts (updated_at, session_id, item_id)
    WHERE review IS NOT NULL AND human_result = '' AND is_closed = 0;
CREATE TABLE count_subjects (
    number         INTEGER PRIMARY KEY,
    product_id     TEXT NOT NULL,
    item_id        TEXT NOT NULL,
    product_number INTEGER NOT NULL,
    UNIQUE (product_id, item_id)
) STRICT;
CREATE TABLE verdict_counts (
    subject             INTEGER NOT NULL,
    user_id             INTEGER NOT NULL,
    period              INTEGER NOT NULL,
    ai_result           TEXT NOT NULL,
    human_result        TEXT NOT NULL,
    verdict_count       INTEGER NOT NULL,
    weight_sum          REAL NOT NULL,
    verification_time_s REAL NOT NULL,
    PRIMARY KEY (subject, user_id, period, ai_result, human_result)
) STRICT, WITHOUT ROWID;
CREATE TABLE reason_counts (
    subject     INTEGER NOT NULL,
    user_id     INTEGER NOT NULL,
    period      INTEGER NOT NULL,
    reason_code TEXT NOT NULL,
    ng_count    INTEGER NOT NULL,
    PRIMARY KEY (subject, user_id, period, reason_code)
) STRICT, WITHOUT ROWID;
CREATE TABLE session_counts (
    subject       INTEGER NOT NULL,
    user_id       INTEGER NOT NULL,
    period        INTEGER NOT NULL,
    status        TEXT NOT NULL,
    final_result  TEXT NOT NULL,
    session_count INTEGER NOT NULL,
    cycle_time_s  REAL NOT NULL,
    PRIMARY KEY (subject, user_id, period, status, final_result)
) STRICT, WITHOUT ROWID;
CREATE VIEW counted_cells (session_id, item_id, level, subject, period) AS
SELECT s.id, i.item_id, cell.column1,
       CASE cell.column1 WHEN 0 THEN 0 WHEN 1 THEN i.product_number ELSE i.number END,
       CASE cell.column2 WHEN 'day' THEN CAST(replace(s.work_day, '-', '') AS INTEGER)
                         ELSE CAST(replace(substr(s.work_day, 1, 7), '-', '') || '99' AS INTEGER) END
FROM inspection_sessions s
CROSS JOIN count_subjects i ON i.product_id = s.product_id
CROSS JOIN (VALUES (0, 'day'), (0, 'month'), (1, 'day'), (1, 'month'), (2, 'day'), (2, 'month')) cell
WHERE i.item_id <> '' OR cell.column1 < 2;

CREATE TRIGGER inspection_sessions_subject AFTER INSERT ON inspection_sessions
BEGIN
    INSERT INTO count_subjects
    SELECT n, NEW.product_id, '', n FROM (SELECT coalesce(max(number), 0) + 1 AS n FROM count_subjects) WHERE true
    ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER item_verdicts_subject BEFORE INSERT ON item_verdicts
BEGIN
    INSERT INTO count_subjects
    SELECT (SELECT max(number) + 1 FROM count_subjects), p.product_id, NEW.item_id, p.number
    FROM inspection_sessions s JOIN count_subjects p ON p.product_id = s.product_id AND p.item_id = ''
    WHERE s.id = NEW.session_id
    ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER ai_inspection_results_verdict AFTER INSERT ON ai_inspection_results
BEGIN
    INSERT INTO item_verdicts (session_id, item_id, image_id, ai_result_id, ai_result, weight, review, updated_at,
                               is_closed)
    VALUES (NEW.session_id, NEW.item_id, NEW.image_id, NEW.id, NEW.overall_result,
            coalesce(NEW.sample_weight, 1),
            CASE WHEN NEW.overall_result <> 'OK' THEN NEW.overall_result
                 WHEN NEW.sample_weight IS NOT NULL THEN 'SAMPLED' END,
            NEW.created_at,
            (SELECT status IN ('COMPLETED', 'CANCELLED', 'FAILED') FROM inspection_sessions
             WHERE id = NEW.session_id))
    ON CONFLICT (session_id, item_id) DO UPDATE
    SET image_id = excluded.image_id, ai_result_id = excluded.ai_result_id, ai_result = excluded.ai_result,
        weight = excluded.weight, review = excluded.review, updated_at = excluded.updated_at
    WHERE item_verdicts.image_id IS NULL OR excluded.image_id >= item_verdicts.image_id;
END;

CREATE TRIGGER human_verification_results_verdict AFTER INSERT ON human_verification_results
WHEN NEW.item_id IS NOT NULL
BEGIN
    INSERT INTO item_verdicts (session_id, item_id, human_result_id, human_result, reason_code, user_id,
                               verification_time, updated_at, is_closed)
    VALUES (NEW.session_id, NEW.item_id, NEW.id, NEW.final_result, coalesce(NEW.reason_code, ''), NEW.user_id,
            NEW.verification_time, NEW.created_at,
            (SELECT status IN ('COMPLETED', 'CANCELLED', 'FAILED') FROM inspection_sessions
             WHERE id = NEW.session_id))
    ON CONFLICT (session_id, item_id) DO UPDATE
    SET human_result_id = excluded.human_result_id, human_result = excluded.human_result,
        reason_code = excluded.reason_code, user_id = excluded.user_id,
        verification_time = excluded.verification_time, updated_at = excluded.updated_at;
END;

CREATE TRIGGER inspection_sessions_close AFTER UPDATE OF status ON inspection_sessions
WHEN (OLD.status IN ('COMPLETED', 'CANCELLED', 'FAILED')) <> (NEW.status IN ('COMPLETED', 'CANCELLED', 'FAILED'))
BEGIN
    UPDATE item_verdicts SET is_closed = NEW.status IN ('COMPLETED', 'CANCELLED', 'FAILED')
    WHERE session_id = NEW.id;
END;

CREATE TRIGGER item_verdicts_count_insert AFTER INSERT ON item_verdicts
BEGIN
    INSERT INTO verdict_counts
    SELECT c.subject, person.user_id, c.period, NEW.ai_result, NEW.human_result, 1, NEW.weight, NEW.verification_time
    FROM counted_cells c CROSS JOIN (SELECT -1 AS user_id UNION ALL SELECT NEW.user_id WHERE NEW.user_id <> 0) person
    WHERE c.session_id = NEW.session_id AND c.item_id = NEW.item_id
    ON CONFLICT DO UPDATE SET verdict_count = verdict_count + 1, weight_sum = weight_sum + excluded.weight_sum,
        verification_time_s = verification_time_s + excluded.verification_time_s;
END;

CREATE TRIGGER item_verdicts_count_update
AFTER UPDATE OF ai_result, human_result, user_id, weight, verification_time ON item_verdicts
BEGIN
    INSERT INTO verdict_counts
    SELECT c.subject, v.user_id, c.period, v.ai_result, v.human_result, v.n, v.n * v.weight, v.n * v.seconds
    FROM counted_cells c
    CROSS JOIN (SELECT -1 AS n, OLD.user_id AS user_id, OLD.ai_result AS ai_result, OLD.human_result AS human_result,
                       OLD.weight AS weight, OLD.verification_time AS seconds
                UNION ALL SELECT -1, -1, OLD.ai_result, OLD.human_result, OLD.weight, OLD.verification_time
                UNION ALL SELECT 1, NEW.user_id, NEW.ai_result, NEW.human_result, NEW.weight, NEW.verification_time
                UNION ALL SELECT 1, -1, NEW.ai_result, NEW.human_result, NEW.weight, NEW.verification_time) v
    WHERE c.session_id = NEW.session_id AND c.item_id = NEW.item_id AND v.user_id <> 0
    ON CONFLICT DO UPDATE SET verdict_count = verdict_count + excluded.verdict_count,
        weight_sum = weight_sum + excluded.weight_sum,
        verification_time_s = verification_time_s + excluded.verification_time_s;
END;

CREATE TRIGGER item_verdicts_reason_insert AFTER INSERT ON item_verdicts WHEN NEW.human_result = 'NG'
BEGIN
    INSERT INTO reason_counts
    SELECT c.subject, person.user_id, c.period, NEW.reason_code, 1
    FROM counted_cells c CROSS JOIN (SELECT NEW.user_id AS user_id UNION ALL SELECT -1) person
    WHERE c.session_id = NEW.session_id AND c.item_id = NEW.item_id AND c.level = 2
    ON CONFLICT DO UPDATE SET ng_count = ng_count + 1;
END;

CREATE TRIGGER item_verdicts_reason_update AFTER UPDATE OF human_result, reason_code, user_id ON item_verdicts
WHEN 'NG' IN (OLD.human_result, NEW.human_result)
BEGIN
    INSERT INTO reason_counts
    SELECT c.subject, v.user_id, c.period, v.reason_code, v.n
    FROM counted_cells c
    CROSS JOIN (SELECT -1 AS n, OLD.user_id AS user_id, OLD.human_result AS human_result,
                       OLD.reason_code AS reason_code
                UNION ALL SELECT -1, -1, OLD.human_result, OLD.reason_code
                UNION ALL SELECT 1, NEW.user_id, NEW.human_result, NEW.reason_code
                UNION ALL SELECT 1, -1, NEW.human_result, NEW.reason_code) v
    WHERE c.session_id = NEW.session_id AND c.item_id = NEW.item_id AND c.level = 2 AND v.human_result = 'NG'
    ON CONFLICT DO UPDATE SET ng_count = ng_count + excluded.ng_count;
END;

CREATE TRIGGER inspection_sessions_count
AFTER UPDATE OF status, final_result, completed_at, user_id ON inspection_sessions
WHEN (OLD.status, OLD.final_result, OLD.completed_at, OLD.user_id)
     IS NOT (NEW.status, NEW.final_result, NEW.completed_at, NEW.user_id)
     AND (OLD.status IN ('COMPLETED', 'CANCELLED', 'FAILED') OR NEW.status IN ('COMPLETED', 'CANCELLED', 'FAILED'))
BEGIN
    INSERT INTO session_counts
    SELECT c.subject, v.user_id, c.period, v.status, v.final_result, v.n,
           v.n * max(0.0, coalesce((julianday(v.completed_at) - julianday(NEW.started_at)) * 86400.0, 0.0))
    FROM counted_cells c
    CROSS JOIN (SELECT -1 AS n, coalesce(OLD.user_id, 0) AS user_id, OLD.status AS status,
                       coalesce(OLD.final_result, '') AS final_result, OLD.completed_at AS completed_at
                UNION ALL SELECT -1, -1, OLD.status, coalesce(OLD.final_result, ''), OLD.completed_at
                UNION ALL SELECT 1, coalesce(NEW.user_id, 0), NEW.status, coalesce(NEW.final_result, ''),
                                 NEW.completed_at
                UNION ALL SELECT 1, -1, NEW.status, coalesce(NEW.final_result, ''), NEW.completed_at) v
    WHERE c.session_id = NEW.id AND c.item_id = '' AND v.user_id <> 0
          AND v.status IN ('COMPLETED', 'CANCELLED', 'FAILED')
    ON CONFLICT DO UPDATE SET session_count = session_count + excluded.session_count,
        cycle_time_s = cycle_time_s + excluded.cycle_time_s;
END;
CREATE TABLE sync_queue (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id       TEXT NOT NULL,
    device_type     TEXT NOT NULL,
    app_version     TEXT NOT NULL,
    entity_type     TEXT NOT NULL,
    entity_id       TEXT NOT NULL,
    operation       TEXT NOT NULL CHECK (operation IN ('INSERT', 'UPDATE', 'DELETE')),
    data            TEXT NOT NULL,
    priority        INTEGER NOT NULL DEFAULT 0,
    retry_count     INTEGER NOT NULL DEFAULT 0,
    last_retry_at   TEXT,
    created_at      TEXT NOT NULL,
    processed_at    TEXT,
    op_id           TEXT NOT NULL UNIQUE,
    tx_id           TEXT NOT NULL,
    base_version    INTEGER,
    blob_refs       TEXT NOT NULL DEFAULT '[]',
    sha256          TEXT NOT NULL,
    next_attempt_at TEXT,
    dead_at         TEXT,
    error_code      TEXT,
    error_detail    TEXT,
    held_by         INTEGER,
    incarnation     TEXT,
    ack             INTEGER
) STRICT;
CREATE INDEX idx_sync_queue_unprocessed ON sync_queue (priority DESC, id) WHERE processed_at IS NULL;
CREATE INDEX idx_sync_queue_dead ON sync_queue (id) WHERE dead_at IS NOT NULL;
CREATE INDEX idx_sync_queue_ready ON sync_queue (priority DESC, id)
    WHERE processed_at IS NULL AND dead_at IS NULL AND held_by IS NULL AND next_attempt_at IS NULL;
CREATE INDEX idx_sync_queue_waiting ON sync_queue (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX idx_sync_queue_held ON sync_queue (held_by) WHERE held_by IS NOT NULL;
CREATE INDEX idx_sync_queue_entity ON sync_queue (entity_type, entity_id, id);
CREATE TABLE blob_uploads (
    sha256          TEXT PRIMARY KEY,
    upload_id       TEXT,
    retry_count     INTEGER NOT NULL DEFAULT 0,
    next_attempt_at TEXT,
    dead_at         TEXT,
    error_code      TEXT,
    error_detail    TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX idx_blob_uploads_dead ON blob_uploads (dead_at) WHERE dead_at IS NOT NULL;

CREATE TABLE sync_state (
    space               TEXT PRIMARY KEY,
    cursor              INTEGER NOT NULL DEFAULT 0,
    server_epoch        TEXT,
    last_sync_timestamp TEXT,
    detail              TEXT NOT NULL DEFAULT '{}'
) STRICT, WITHOUT ROWID;
CREATE TABLE pull_pages (
    id           INTEGER PRIMARY KEY,
    space        TEXT NOT NULL,
    from_cursor  INTEGER NOT NULL,
    to_cursor    INTEGER NOT NULL,
    server_epoch TEXT NOT NULL,
    has_more     INTEGER NOT NULL CHECK (has_more IN (0, 1)),
    page         BLOB NOT NULL,
    UNIQUE (space, from_cursor)
) STRICT;
CREATE TABLE pulled_rows (
    table_name TEXT NOT NULL,
    row_id     TEXT NOT NULL,
    version    INTEGER NOT NULL,
    sha256     TEXT NOT NULL,
    data       TEXT NOT NULL,
    PRIMARY KEY (table_name, row_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE central_decisions (
    id           TEXT PRIMARY KEY,
    session_id   TEXT NOT NULL,
    item_id      TEXT,
    final_result TEXT NOT NULL CHECK (final_result IN ('OK', 'NG')),
    reason       TEXT NOT NULL,
    decided_by   TEXT NOT NULL,
    decided_at   TEXT NOT NULL,
    version      INTEGER NOT NULL,
    row_version  INTEGER NOT NULL DEFAULT 0,
    row_sha256   TEXT
) STRICT;
CREATE INDEX idx_central_decisions_session ON central_decisions (session_id, version);
CREATE TABLE conflict_log (
    id          TEXT PRIMARY KEY,
    entity_type TEXT NOT NULL,
    entity_id   TEXT NOT NULL,
    kept        TEXT NOT NULL CHECK (kept IN ('local', 'server')),
    local_data  TEXT NOT NULL,
    server_data TEXT NOT NULL,
    reason      TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    resolved_at TEXT,
    resolved_by INTEGER REFERENCES users (id)
) STRICT;
CREATE INDEX idx_conflict_log_open ON conflict_log (created_at) WHERE resolved_at IS NULL;
CREATE TABLE audit_log (
    seq            INTEGER PRIMARY KEY,
    created_at     TEXT NOT NULL,
    actor          TEXT NOT NULL,
    user_id        INTEGER,
    action         TEXT NOT NULL,
    entity_type    TEXT NOT NULL,
    entity_id      TEXT NOT NULL,
    content_sha256 TEXT NOT NULL DEFAULT '',
    detail         TEXT NOT NULL DEFAULT '',
    sha256         TEXT NOT NULL
) STRICT;
CREATE INDEX idx_audit_log_entity ON audit_log (entity_type, entity_id, seq);

CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
BEGIN SELECT RAISE(ABORT, 'audit_log is insert-only'); END;
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
BEGIN SELECT RAISE(ABORT, 'audit_log is insert-only'); END;
CREATE TABLE system_config (
    key        TEXT PRIMARY KEY,
    value      TEXT NOT NULL,
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT, WITHOUT ROWID;
CREATE TABLE idempotency_keys (
    key            TEXT PRIMARY KEY,
    request_sha256 TEXT NOT NULL,
    created_at     TEXT NOT NULL,
    reply          TEXT
) STRICT, WITHOUT ROWID;

CREATE TRIGGER inspection_targets_queue_insert AFTER INSERT ON inspection_targets WHEN local_change()
BEGIN
    INSERT INTO sync_queue (device_id, device_type, app_version, entity_type, entity_id, operation, data, priority,
                            created_at, op_id, tx_id, sha256)
    SELECT device_id(), device_type(), app_version(), 'inspection_targets', NEW.id, 'INSERT', d, 50, now(),
           new_op_id(), tx_id(), sha256(d)
    FROM (SELECT freeze('batch_id', NEW.batch_id, 'created_at', NEW.created_at, 'id', NEW.id,
                        'product_code', NEW.product_code, 'product_id', NEW.product_id, 'qr_code', NEW.qr_code,
                        'serial_no', NEW.serial_no, 'updated_at', NEW.updated_at) AS d);
END;

CREATE TRIGGER inspection_sessions_queue_insert AFTER INSERT ON inspection_sessions WHEN local_change()
BEGIN
    INSERT INTO sync_queue (device_id, device_type, app_version, entity_type, entity_id, operation, data, priority,
                            created_at, op_id, tx_id, sha256)
    SELECT device_id(), device_type(), app_version(), 'inspection_sessions', NEW.id, 'INSERT', d, 50, now(),
           new_op_id(), tx_id(), sha256(d)
    FROM (SELECT freeze('accept_ai_ok', NEW.accept_ai_ok, 'completed_at', NEW.completed_at,
                        'criteria_snapshot', NEW.criteria_snapshot, 'final_result', NEW.final_result, 'id', NEW.id,
                        'master_version', NEW.master_version, 'product_id', NEW.product_id, 'reason', NEW.reason,
                        'source', NEW.source, 'started_at', NEW.started_at, 'status', NEW.status,
                        'target_id', NEW.target_id, 'updated_at', NEW.updated_at,
                        'user_server_id', (SELECT server_id FROM users WHERE id = NEW.user_id),
                        'version', NEW.version, 'work_day', NEW.work_day) AS d);
END;

CREATE TRIGGER inspection_sessions_queue_update AFTER UPDATE ON inspection_sessions WHEN local_change()
BEGIN
    INSERT INTO sync_queue (device_id, device_type, app_version, entity_type, entity_id, operation, data, priority,
                            created_at, op_id, tx_id, base_version, sha256)
    SELECT device_id(), device_type(), app_version(), 'inspection_sessions', NEW.id, 'UPDATE', d,
           CASE WHEN NEW.final_result = 'NG' THEN 100 ELSE 50 END, now(), new_op_id(), tx_id(), OLD.version, sha256(d)
    FROM (SELECT freeze('completed_at', NEW.completed_at, 'final_result', NEW.final_result, 'id', NEW.id,
                        'reason', NEW.reason, 'status', NEW.status, 'updated_at', NEW.updated_at,
                        'user_server_id', (SELECT server_id FROM users WHERE id = NEW.user_id),
                        'version', NEW.version) AS d);
END;

CREATE TRIGGER inspection_images_queue_insert AFTER INSERT ON inspection_images WHEN local_change()
BEGIN
    INSERT INTO sync_queue (device_id, device_type, app_version, entity_type, entity_id, operation, data, priority,
                            created_at, op_id, tx_id, blob_refs, sha256)
    SELECT device_id(), device_type(), app_version(), 'inspection_images', NEW.id, 'INSERT', d, 50, now(),
           new_op_id(), tx_id(), '["' || NEW.sha256 || '"]', sha256(d)
    FROM (SELECT freeze('captured_at', NEW.captured_at,
                        'captured_by_server_id', (SELECT server_id FROM users WHERE id = NEW.captured_by),
                        'created_at', NEW.created_at, 'file_size', NEW.file_size, 'height_px', NEW.height_px,
                        'id', NEW.id, 'image_type', NEW.image_type, 'item_id', NEW.item_id,
                        'mime_type', NEW.mime_type, 'origin', NEW.origin, 'session_id', NEW.session_id,
                        'sha256', NEW.sha256, 'source', NEW.source, 'width_px', NEW.width_px) AS d);
END;

CREATE TRIGGER inspection_images_facts_fixed
BEFORE UPDATE OF id, session_id, image_type, file_size, created_at, item_id, sha256, mime_type, width_px, height_px,
                 captured_at, captured_by, source, origin ON inspection_images
BEGIN SELECT RAISE(ABORT, 'the facts of an image never change'); END;
CREATE TRIGGER ai_inspection_results_upload_lane AFTER INSERT ON ai_inspection_results
WHEN NEW.overall_result = 'NG'
BEGIN UPDATE inspection_images SET upload_lane = 2 WHERE id = NEW.image_id; END;

CREATE TRIGGER human_verification_results_upload_lane AFTER INSERT ON human_verification_results
WHEN NEW.final_result = 'NG'
BEGIN
    UPDATE inspection_images SET upload_lane = 2
    WHERE session_id = NEW.session_id AND item_id = coalesce(NEW.item_id, item_id);
END;

CREATE TRIGGER ai_inspection_results_queue_insert AFTER INSERT ON ai_inspection_results WHEN local_change()
BEGIN
    INSERT INTO sync_queue (device_id, device_type, app_version, entity_type, entity_id, operation, data, priority,
                            created_at, op_id, tx_id, sha256)
    SELECT device_id(), device_type(), app_version(), 'ai_inspection_results', NEW.id, 'INSERT', d,
           CASE NEW.overall_result WHEN 'NG' THEN 100 ELSE 50 END, now(), new_op_id(), tx_id(), sha256(d)
    FROM (SELECT freeze('confidence', NEW.confidence, 'created_at', NEW.created_at,
                        'criteria_sha256', NEW.criteria_sha256, 'detailed_results', NEW.detailed_results,
                        'id', NEW.id, 'image_id', NEW.image_id, 'item_id', NEW.item_id,
                        'model_sha256s', NEW.model_sha256s, 'overall_result', NEW.overall_result,
                        'pipeline_id', NEW.pipeline_id, 'pipeline_sha256', NEW.pipeline_sha256,
                        'pipeline_version', NEW.pipeline_version, 'processing_time', NEW.processing_time,
                        'provider', NEW.provider, 'sample_weight', NEW.sample_weight,
                        'session_id', NEW.session_id) AS d);
END;

CREATE TRIGGER human_verification_results_queue_insert AFTER INSERT ON human_verification_results WHEN local_change()
BEGIN
    INSERT INTO sync_queue (device_id, device_type, app_version, entity_type, entity_id, operation, data, priority,
                            created_at, op_id, tx_id, sha256)
    SELECT device_id(), device_type(), app_version(), 'human_verification_results', NEW.id, 'INSERT', d, 100, now(),
           new_op_id(), tx_id(), sha256(d)
    FROM (SELECT freeze('checks', NEW.checks, 'created_at', NEW.created_at, 'final_result', NEW.final_result,
                        'id', NEW.id, 'image_id', NEW.image_id, 'item_id', NEW.item_id, 'notes', NEW.notes,
                        'reason_code', NEW.reason_code, 'region', NEW.region, 'saw_ai', NEW.saw_ai,
                        'session_id', NEW.session_id, 'supersedes', NEW.supersedes,
                        'user_server_id', (SELECT server_id FROM users WHERE id = NEW.user_id),
                        'verification_time', NEW.verification_time) AS d);
END;

CREATE TRIGGER sync_queue_audit AFTER INSERT ON sync_queue
BEGIN
    INSERT INTO audit_log (created_at, actor, user_id, action, entity_type, entity_id, content_sha256, sha256)
    VALUES (NEW.created_at, actor(), actor_user_id(), NEW.operation, NEW.entity_type, NEW.entity_id, NEW.sha256,
            chain(NEW.created_at, actor(), actor_user_id(), NEW.operation, NEW.entity_type, NEW.entity_id,
                  NEW.sha256, '', (SELECT sha256 FROM audit_log ORDER BY seq DESC LIMIT 1)));
END;
