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
    row_version   INTEGER NOT NULL DEFAULT 0
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
    row_version   INTEGER NOT NULL DEFAULT 0
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
    row_version        INTEGER NOT NULL DEFAULT 0
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
CREATE INDEX idx_inspection_targets_qr_code ON inspection_targets (qr_code, created_at);
CREATE INDEX idx_inspection_targets_serial ON inspection_targets (serial_no) WHERE serial_no <> '';
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
CREATE INDEX idx_inspection_sessions_product_started ON inspection_sessions (product_id, started_at, id);
CREATE INDEX idx_inspection_sessions_product_status ON inspection_sessions (product_id, status, started_at, id);
CREATE INDEX idx_inspection_sessions_user_started ON inspection_sessions (user_id, started_at, id);
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
    uploaded_at TEXT
) STRICT;
CREATE INDEX idx_inspection_images_session ON inspection_images (session_id, item_id, id);
CREATE INDEX idx_inspection_images_sha256 ON inspection_images (sha256);
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
    PRIMARY KEY (session_id, item_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX idx_item_verdicts_review ON item_verdicts (updated_at, session_id)
    WHERE review IS NOT NULL AND human_result = '';
CREATE TABLE daily_verdicts (
    work_day            TEXT NOT NULL,
    product_id          TEXT NOT NULL,
    item_id             TEXT NOT NULL,
    user_id             INTEGER NOT NULL,
    ai_result           TEXT NOT NULL,
    human_result        TEXT NOT NULL,
    reason_code         TEXT NOT NULL,
    verdict_count       INTEGER NOT NULL,
    weight_sum          REAL NOT NULL,
    verification_time_s REAL NOT NULL,
    PRIMARY KEY (work_day, product_id, item_id, user_id, ai_result, human_result, reason_code)
) STRICT, WITHOUT ROWID;
CREATE TABLE daily_sessions (
    work_day      TEXT NOT NULL,
    product_id    TEXT NOT NULL,
    user_id       INTEGER NOT NULL,
    status        TEXT NOT NULL,
    final_result  TEXT NOT NULL,
    session_count INTEGER NOT NULL,
    cycle_time_s  REAL NOT NULL,
    PRIMARY KEY (work_day, product_id, user_id, status, final_result)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER ai_inspection_results_verdict AFTER INSERT ON ai_inspection_results
BEGIN
    INSERT INTO item_verdicts (session_id, item_id, image_id, ai_result_id, ai_result, weight, review, updated_at)
    VALUES (NEW.session_id, NEW.item_id, NEW.image_id, NEW.id, NEW.overall_result,
            coalesce(NEW.sample_weight, 1),
            CASE WHEN NEW.overall_result <> 'OK' THEN NEW.overall_result
                 WHEN NEW.sample_weight IS NOT NULL THEN 'SAMPLED' END,
            NEW.created_at)
    ON CONFLICT (session_id, item_id) DO UPDATE
    SET image_id = excluded.image_id, ai_result_id = excluded.ai_result_id, ai_result = excluded.ai_result,
        weight = excluded.weight, review = excluded.review, updated_at = excluded.updated_at
    WHERE item_verdicts.image_id IS NULL OR excluded.image_id >= item_verdicts.image_id;
END;

CREATE TRIGGER human_verification_results_verdict AFTER INSERT ON human_verification_results
WHEN NEW.item_id IS NOT NULL
BEGIN
    INSERT INTO item_verdicts (session_id, item_id, human_result_id, human_result, reason_code, user_id,
                               verification_time, updated_at)
    VALUES (NEW.session_id, NEW.item_id, NEW.id, NEW.final_result, coalesce(NEW.reason_code, ''), NEW.user_id,
            NEW.verification_time, NEW.created_at)
    ON CONFLICT (session_id, item_id) DO UPDATE
    SET human_result_id = excluded.human_result_id, human_result = excluded.human_result,
        reason_code = excluded.reason_code, user_id = excluded.user_id,
        verification_time = excluded.verification_time, updated_at = excluded.updated_at;
END;

CREATE TRIGGER item_verdicts_count_insert AFTER INSERT ON item_verdicts
BEGIN
    INSERT INTO daily_verdicts
    SELECT s.work_day, s.product_id, NEW.item_id, NEW.user_id, NEW.ai_result, NEW.human_result, NEW.reason_code,
           1, NEW.weight, NEW.verification_time
    FROM inspection_sessions s WHERE s.id = NEW.session_id
    ON CONFLICT DO UPDATE SET verdict_count = verdict_count + 1, weight_sum = weight_sum + excluded.weight_sum,
        verification_time_s = verification_time_s + excluded.verification_time_s;
END;

CREATE TRIGGER item_verdicts_count_update AFTER UPDATE ON item_verdicts
BEGIN
    UPDATE daily_verdicts
    SET verdict_count = verdict_count - 1, weight_sum = weight_sum - OLD.weight,
        verification_time_s = verification_time_s - OLD.verification_time
    WHERE (work_day, product_id) = (SELECT work_day, product_id FROM inspection_sessions WHERE id = OLD.session_id)
      AND item_id = OLD.item_id AND user_id = OLD.user_id AND ai_result = OLD.ai_result
      AND human_result = OLD.human_result AND reason_code = OLD.reason_code;
    INSERT INTO daily_verdicts
    SELECT s.work_day, s.product_id, NEW.item_id, NEW.user_id, NEW.ai_result, NEW.human_result, NEW.reason_code,
           1, NEW.weight, NEW.verification_time
    FROM inspection_sessions s WHERE s.id = NEW.session_id
    ON CONFLICT DO UPDATE SET verdict_count = verdict_count + 1, weight_sum = weight_sum + excluded.weight_sum,
        verification_time_s = verification_time_s + excluded.verification_time_s;
END;

CREATE TRIGGER inspection_sessions_count_close AFTER UPDATE OF status, final_result ON inspection_sessions
WHEN NEW.status IN ('COMPLETED', 'CANCELLED', 'FAILED')
     AND (OLD.status <> NEW.status OR OLD.final_result IS NOT NEW.final_result)
BEGIN
    INSERT INTO daily_sessions
    VALUES (NEW.work_day, NEW.product_id, coalesce(NEW.user_id, 0), NEW.status, coalesce(NEW.final_result, ''), 1,
            max(0.0, coalesce((julianday(NEW.completed_at) - julianday(NEW.started_at)) * 86400.0, 0.0)))
    ON CONFLICT DO UPDATE SET session_count = session_count + 1,
        cycle_time_s = cycle_time_s + excluded.cycle_time_s;
END;
CREATE TRIGGER inspection_sessions_count_correct AFTER UPDATE OF status, final_result ON inspection_sessions
WHEN OLD.status IN ('COMPLETED', 'CANCELLED', 'FAILED')
     AND (OLD.status <> NEW.status OR OLD.final_result IS NOT NEW.final_result)
BEGIN
    UPDATE daily_sessions
    SET session_count = session_count - 1,
        cycle_time_s = cycle_time_s
            - max(0.0, coalesce((julianday(OLD.completed_at) - julianday(OLD.started_at)) * 86400.0, 0.0))
    WHERE work_day = OLD.work_day AND product_id = OLD.product_id AND user_id = coalesce(OLD.user_id, 0)
      AND status = OLD.status AND final_result = coalesce(OLD.final_result, '');
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
    error_detail    TEXT
) STRICT;
CREATE INDEX idx_sync_queue_unprocessed ON sync_queue (priority DESC, id) WHERE processed_at IS NULL;
CREATE INDEX idx_sync_queue_dead ON sync_queue (id) WHERE dead_at IS NOT NULL;
CREATE INDEX idx_sync_queue_entity ON sync_queue (entity_type, entity_id, id);
CREATE TABLE sync_state (
    space               TEXT PRIMARY KEY,
    cursor              INTEGER NOT NULL DEFAULT 0,
    server_epoch        TEXT,
    last_sync_timestamp TEXT,
    detail              TEXT NOT NULL DEFAULT '{}'
) STRICT, WITHOUT ROWID;
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
