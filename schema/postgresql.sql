-- The central database of ImageFlowCanvas: the contract. A test proves it equal to all migrations applied.
-- PostgreSQL 14 or later, core features only: no extension is needed.
--
-- Rules of this file:
-- * Tables, columns and indexes named in the commissioned database design keep their names. Its TIMESTAMP columns
--   are TIMESTAMPTZ here (an instant, not a wall clock's reading), its SERIAL is BIGSERIAL.
-- * Instants end in _at, to the millisecond. Durations are seconds unless the name says otherwise.
-- * History is partitioned by month on its UUIDv7 id, whose first 48 bits are the instant it was made: so the id
--   alone stays the primary key, a look-up by id touches one partition, and old months can be detached. What
--   lies outside the months made ahead (a device whose clock is off) is kept by the DEFAULT partition.
-- * Facts have no foreign keys: a fact must never be refused because a master is not here, and a month must be
--   detachable. Ingest looks for the parent in the transaction that stores the child.
-- * Synchronised masters get row_version by trigger, also when changed by hand in psql.

-- ── what changed, in the order of commits ──────────────────────────────────────────────────────────────

-- Which history this is: drawn anew by the operator after a restore, so that devices start their pulls again.
CREATE TABLE server_state (
    id           BOOLEAN PRIMARY KEY DEFAULT true CHECK (id),
    server_epoch UUID NOT NULL DEFAULT gen_random_uuid(),
    created_at   TIMESTAMPTZ(3) NOT NULL DEFAULT now()
);
INSERT INTO server_state DEFAULT VALUES;

-- One pull space: a set of tables with one common order of changes. The row is locked by the first statement of
-- a transaction that changes the space, until its commit: whoever sees version n sees every version below n.
CREATE TABLE sync_spaces (
    space             TEXT PRIMARY KEY,
    version           BIGINT NOT NULL DEFAULT 0,   -- of the newest committed change
    tombstone_horizon BIGINT NOT NULL DEFAULT 0    -- tombstones up to this version are forgotten
);
-- 'components' is pulled by nobody: its versions are optimistic locks only.
INSERT INTO sync_spaces (space) VALUES ('masters'), ('decisions'), ('components');

-- A row that was deleted.
CREATE TABLE sync_tombstones (
    space       TEXT NOT NULL REFERENCES sync_spaces (space),
    row_version BIGINT NOT NULL,
    table_name  TEXT NOT NULL,
    row_id      TEXT NOT NULL,
    deleted_at  TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    PRIMARY KEY (space, row_version)
);

-- Before the statement touches a row: take the space, so that two writers never wait for each other in a circle.
CREATE FUNCTION sync_lock_space() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stored BIGINT;
    setting TEXT := 'sync.version_' || TG_ARGV[0];
BEGIN
    SELECT version INTO STRICT stored FROM sync_spaces WHERE space = TG_ARGV[0] FOR UPDATE;
    PERFORM set_config(setting, greatest(stored, nullif(current_setting(setting, true), '')::bigint)::text, true);
    RETURN NULL;
END $$;

-- For each row: the next version. It counts in a setting that lives as long as the transaction (and returns with
-- a savepoint), because updating the counter row once per row would cost the square of their number.
CREATE FUNCTION sync_next_version(wanted_space TEXT) RETURNS BIGINT LANGUAGE sql AS $$
    SELECT set_config('sync.version_' || wanted_space,
                      (current_setting('sync.version_' || wanted_space)::bigint + 1)::text, true)::bigint
$$;

CREATE FUNCTION sync_stamp_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.row_version := sync_next_version(TG_ARGV[0]);
    RETURN NEW;
END $$;

CREATE FUNCTION sync_bury_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sync_tombstones (space, row_version, table_name, row_id)
    VALUES (TG_ARGV[0], sync_next_version(TG_ARGV[0]), TG_TABLE_NAME, OLD.id::text);
    RETURN NULL;
END $$;

-- After the statement: the counter row holds what was counted. Who listens on the channel "sync" hears the space's
-- name once the transaction has committed, never before.
CREATE FUNCTION sync_store_version() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    counted BIGINT := current_setting('sync.version_' || TG_ARGV[0])::bigint;
BEGIN
    UPDATE sync_spaces SET version = counted WHERE space = TG_ARGV[0] AND version < counted;
    IF FOUND THEN
        PERFORM pg_notify('sync', TG_ARGV[0]);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is insert-only: what is in it stays as it is', TG_TABLE_NAME;
END $$;

CREATE FUNCTION sync_refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'TRUNCATE leaves no tombstones: use DELETE FROM %', TG_TABLE_NAME;
END $$;

-- Makes a table with the columns id and row_version part of a space.
CREATE PROCEDURE sync_table(name REGCLASS, space TEXT) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER sync_lock BEFORE INSERT OR UPDATE OR DELETE ON %s '
                   'FOR EACH STATEMENT EXECUTE FUNCTION sync_lock_space(%L)', name, space);
    EXECUTE format('CREATE TRIGGER sync_stamp BEFORE INSERT OR UPDATE ON %s '
                   'FOR EACH ROW EXECUTE FUNCTION sync_stamp_row(%L)', name, space);
    EXECUTE format('CREATE TRIGGER sync_bury AFTER DELETE ON %s '
                   'FOR EACH ROW EXECUTE FUNCTION sync_bury_row(%L)', name, space);
    EXECUTE format('CREATE TRIGGER sync_store AFTER INSERT OR UPDATE OR DELETE ON %s '
                   'FOR EACH STATEMENT EXECUTE FUNCTION sync_store_version(%L)', name, space);
    EXECUTE format('CREATE TRIGGER sync_truncate BEFORE TRUNCATE ON %s '
                   'FOR EACH STATEMENT EXECUTE FUNCTION sync_refuse_truncate()', name);
    EXECUTE format('CREATE INDEX ON %s (row_version)', name);
END $$;

-- ── people ─────────────────────────────────────────────────────────────────────────────────────────────

-- One person who may log in, here and at every device. On the wire id is server_id.
CREATE TABLE users (
    id            UUID PRIMARY KEY,
    username      VARCHAR(255) NOT NULL UNIQUE,
    email         VARCHAR(255) UNIQUE,
    password_hash TEXT NOT NULL,                   -- argon2id, encoded form; '' = may not log in
    full_name     VARCHAR(255),
    role          VARCHAR(50) NOT NULL DEFAULT 'inspector'
                  CHECK (role IN ('inspector', 'supervisor', 'technician', 'admin')),
    created_at    TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    updated_at    TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    is_active     BOOLEAN NOT NULL DEFAULT true,
    row_version   BIGINT NOT NULL DEFAULT 0
);
CALL sync_table('users', 'masters');

-- One login of an operator at the centre. The token itself is never stored.
CREATE TABLE operator_tokens (
    token_sha256 VARCHAR(64) PRIMARY KEY,
    user_id      UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at   TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    expires_at   TIMESTAMPTZ(3) NOT NULL
);
CREATE INDEX idx_operator_tokens_user ON operator_tokens (user_id);

-- ── pipelines and components ───────────────────────────────────────────────────────────────────────────

-- How an image is judged. definition is the pipeline/1 document as verified.
CREATE TABLE pipelines (
    id                 UUID PRIMARY KEY,
    name               VARCHAR(255) NOT NULL,
    description        TEXT,
    definition         JSONB NOT NULL,
    version            INTEGER NOT NULL DEFAULT 1, -- counts changes; the optimistic lock
    created_at         TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    updated_at         TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    created_by         UUID REFERENCES users (id),
    code               VARCHAR(100) NOT NULL UNIQUE,
    sha256             VARCHAR(64) NOT NULL,       -- of the definition's canonical JSON
    definition_version VARCHAR(64) NOT NULL,       -- "version" in the definition
    is_active          BOOLEAN NOT NULL DEFAULT true,
    row_version        BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX idx_pipelines_name ON pipelines (name);
CALL sync_table('pipelines', 'masters');

-- One run of a pipeline at the centre.
CREATE TABLE pipeline_executions (
    id            UUID PRIMARY KEY,
    pipeline_id   UUID REFERENCES pipelines (id),
    status        VARCHAR(50) NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'failed')),
    input_data    JSONB,
    output_data   JSONB,
    error_message TEXT,
    started_at    TIMESTAMPTZ(3),
    completed_at  TIMESTAMPTZ(3),
    created_by    UUID REFERENCES users (id),
    created_at    TIMESTAMPTZ(3) NOT NULL DEFAULT now()   -- the design's index names it
) PARTITION BY RANGE (id);
CREATE TABLE pipeline_executions_other PARTITION OF pipeline_executions DEFAULT;
CREATE INDEX idx_pipeline_executions_status_created ON pipeline_executions (status, created_at);
CREATE INDEX idx_pipeline_executions_pipeline ON pipeline_executions (pipeline_id, id);

-- One processing component that pipelines at the centre are made of.
CREATE TABLE components (
    id                    UUID PRIMARY KEY,
    name                  VARCHAR(255) NOT NULL,
    description           TEXT,
    docker_image          VARCHAR(500) NOT NULL,
    version               VARCHAR(50) NOT NULL,
    input_schema          JSONB,
    output_schema         JSONB,
    resource_requirements JSONB,
    created_at            TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    updated_at            TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    is_active             BOOLEAN NOT NULL DEFAULT true,
    row_version           BIGINT NOT NULL DEFAULT 0,
    UNIQUE (name, version)
);
CALL sync_table('components', 'components');

-- One component's part in a run. execution_id names a pipeline_executions row (history: no foreign key).
CREATE TABLE component_executions (
    id                UUID PRIMARY KEY,
    execution_id      UUID,
    component_id      UUID REFERENCES components (id),
    status            VARCHAR(50) NOT NULL,
    input_data        JSONB,
    output_data       JSONB,
    execution_time_ms INTEGER,
    resource_usage    JSONB,
    started_at        TIMESTAMPTZ(3),
    completed_at      TIMESTAMPTZ(3)
) PARTITION BY RANGE (id);
CREATE TABLE component_executions_other PARTITION OF component_executions DEFAULT;
CREATE INDEX idx_component_executions_execution_time ON component_executions (execution_id, started_at);

-- One object in the object store.
CREATE TABLE files (
    id            UUID PRIMARY KEY,
    original_name VARCHAR(500),
    mime_type     VARCHAR(100),
    file_size     BIGINT,                          -- bytes
    storage_path  VARCHAR(1000) NOT NULL,          -- object key
    checksum      VARCHAR(64),                     -- sha256; set once the store's own checksum matched
    metadata      JSONB,
    created_at    TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    created_by    UUID REFERENCES users (id)
);
CREATE UNIQUE INDEX idx_files_storage_path ON files (storage_path);
CREATE INDEX idx_files_created_user ON files (created_by, created_at);
CREATE INDEX idx_files_checksum ON files (checksum);

-- ── inspection masters ─────────────────────────────────────────────────────────────────────────────────

-- One product that can be inspected.
CREATE TABLE inspection_targets_master (
    id           UUID PRIMARY KEY,
    product_code VARCHAR(100) NOT NULL UNIQUE,
    product_name VARCHAR(255) NOT NULL,
    version      VARCHAR(50) NOT NULL,             -- of the product, as people write it
    description  TEXT,
    created_at   TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    updated_at   TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    created_by   UUID REFERENCES users (id),
    is_active    BOOLEAN NOT NULL DEFAULT true,
    row_version  BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX idx_inspection_targets_product_code ON inspection_targets_master (product_code);
CALL sync_table('inspection_targets_master', 'masters');

-- One thing to look at on a product.
CREATE TABLE inspection_items_master (
    id              UUID PRIMARY KEY,
    target_id       UUID NOT NULL REFERENCES inspection_targets_master (id),
    item_code       VARCHAR(100) NOT NULL,
    item_name       VARCHAR(255) NOT NULL,
    inspection_type VARCHAR(50) NOT NULL CHECK (inspection_type IN ('VISUAL', 'DIMENSION', 'FUNCTION', 'TEXT')),
    ai_enabled      BOOLEAN NOT NULL DEFAULT false,
    pipeline_id     UUID REFERENCES pipelines (id),
    criteria        JSONB NOT NULL,
    order_sequence  INTEGER NOT NULL,
    required        BOOLEAN NOT NULL DEFAULT true,
    created_at      TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    updated_at      TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    is_active       BOOLEAN NOT NULL DEFAULT true,
    row_version     BIGINT NOT NULL DEFAULT 0,
    UNIQUE (target_id, item_code)
);
CREATE INDEX idx_inspection_items_target_sequence ON inspection_items_master (target_id, order_sequence);
CREATE INDEX idx_inspection_items_pipeline ON inspection_items_master (pipeline_id);
CALL sync_table('inspection_items_master', 'masters');

-- One version of a model package, verified when it came: it loads, and its golden samples agree. Its files are the
-- zip that the object store holds as archive_sha256. A version never changes, but for is_active.
CREATE TABLE model_packages (
    id             UUID PRIMARY KEY,
    name           VARCHAR(64) NOT NULL,
    version        VARCHAR(64) NOT NULL,
    task           VARCHAR(50) NOT NULL,
    archive_sha256 VARCHAR(64) NOT NULL,
    archive_size   BIGINT NOT NULL,                -- bytes
    model_sha256   VARCHAR(64) NOT NULL,
    manifest       JSONB NOT NULL,                 -- model.json, complete
    created_at     TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    updated_at     TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    is_active      BOOLEAN NOT NULL DEFAULT false, -- the version that a pipeline means that names none
    row_version    BIGINT NOT NULL DEFAULT 0,
    UNIQUE (name, version)
);
CREATE UNIQUE INDEX idx_model_packages_active ON model_packages (name) WHERE is_active;
CREATE INDEX idx_model_packages_archive ON model_packages (archive_sha256);
CALL sync_table('model_packages', 'masters');

-- One file that pipelines name as sha256:...: a template, a reference picture. Its bytes are the object sha256.
CREATE TABLE assets (
    id          UUID PRIMARY KEY,
    sha256      VARCHAR(64) NOT NULL UNIQUE,
    size        BIGINT NOT NULL,                   -- bytes
    created_at  TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    row_version BIGINT NOT NULL DEFAULT 0
);
CALL sync_table('assets', 'masters');

-- What a bundle said last of a person: importing it again must not undo what was changed here since.
CREATE TABLE imported_entries (
    key         TEXT PRIMARY KEY,                  -- users.ID
    entry       JSONB NOT NULL,                    -- the password hash only as its sha256
    imported_at TIMESTAMPTZ(3) NOT NULL DEFAULT now()
);

-- Who changed what at the centre, for people to read; insert-only. A change made by hand in psql names nobody here.
CREATE TABLE operator_log (
    id      BIGSERIAL PRIMARY KEY,
    at      TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    actor   TEXT NOT NULL,                         -- user name; "admin token"; "command line"
    action  TEXT NOT NULL,                         -- product.put, master.import, device.revoke, ...
    subject TEXT NOT NULL,                         -- code or name of what was changed
    detail  JSONB NOT NULL DEFAULT '{}'            -- changed: the names of the members that differ; row_version
);
CREATE INDEX idx_operator_log_subject ON operator_log (subject, id);
CREATE TRIGGER operator_log_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON operator_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- ── decisions of the centre ────────────────────────────────────────────────────────────────────────────

-- A supervisor's override of what a device found. Insert-only: deciding again adds the next version, and the highest
-- one of a session (item_id NULL) or of an item of it is in force.
CREATE TABLE central_decisions (
    id           UUID PRIMARY KEY,
    session_id   UUID NOT NULL,
    item_id      UUID,                             -- NULL: the whole session
    final_result TEXT NOT NULL CHECK (final_result IN ('OK', 'NG')),
    reason       TEXT NOT NULL,
    decided_by   UUID NOT NULL REFERENCES users (id),
    decided_at   TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    version      INTEGER NOT NULL CHECK (version > 0),   -- 1, 2, ... of its session or item
    row_version  BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX idx_central_decisions_subject
    ON central_decisions (session_id, coalesce(item_id, '00000000-0000-0000-0000-000000000000'), version);
CREATE TRIGGER central_decisions_stay BEFORE UPDATE OR DELETE ON central_decisions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CALL sync_table('central_decisions', 'decisions');

-- ── masters on the wire ────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION wire(value TIMESTAMPTZ) RETURNS TEXT LANGUAGE sql STABLE AS $$
    SELECT to_char(value AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;

-- Every change of the space masters: the row as its canonical JSON (RFC 8785, keys in order, the edge's column
-- names and values), or NULL where it was deleted.
CREATE VIEW sync_masters AS
SELECT row_version, 'users' AS table_name, id::text AS row_id, (
    SELECT row_to_json(r)::text FROM (
        SELECT wire(created_at) AS created_at, email, full_name, is_active::int, password_hash, role, id AS server_id,
               wire(updated_at) AS updated_at, username) AS r) AS data
FROM users
UNION ALL
SELECT row_version, 'pipelines', id::text, (
    SELECT row_to_json(r)::text FROM (
        SELECT code, wire(created_at) AS created_at, created_by, definition::text, definition_version, description, id,
               is_active::int, name, sha256, wire(updated_at) AS updated_at, version) AS r)
FROM pipelines
UNION ALL
SELECT row_version, 'inspection_targets_master', id::text, (
    SELECT row_to_json(r)::text FROM (
        SELECT wire(created_at) AS created_at, created_by, description, id, is_active::int, product_code, product_name,
               wire(updated_at) AS updated_at, version) AS r)
FROM inspection_targets_master
UNION ALL
SELECT row_version, 'inspection_items_master', id::text, (
    SELECT row_to_json(r)::text FROM (
        SELECT ai_enabled::int, wire(created_at) AS created_at, criteria::text, id, inspection_type, is_active::int,
               item_code, item_name, order_sequence, pipeline_id, required::int, target_id,
               wire(updated_at) AS updated_at) AS r)
FROM inspection_items_master
UNION ALL
SELECT row_version, 'model_packages', id::text, (
    SELECT row_to_json(r)::text FROM (
        SELECT archive_sha256, archive_size, wire(created_at) AS created_at, id, is_active::int, manifest::text,
               model_sha256, name, task, wire(updated_at) AS updated_at, version) AS r)
FROM model_packages
UNION ALL
SELECT row_version, 'assets', id::text, (
    SELECT row_to_json(r)::text FROM (SELECT wire(created_at) AS created_at, id, sha256, size) AS r)
FROM assets
UNION ALL
SELECT row_version, table_name, row_id, NULL
FROM sync_tombstones WHERE space = 'masters';

-- Every decision in the order of commits, in the same form.
CREATE VIEW sync_decisions AS
SELECT row_version, 'central_decisions' AS table_name, id::text AS row_id, (
    SELECT row_to_json(r)::text FROM (
        SELECT wire(decided_at) AS decided_at, decided_by, final_result, id, item_id, reason, session_id,
               version) AS r) AS data
FROM central_decisions
UNION ALL
SELECT row_version, table_name, row_id, NULL
FROM sync_tombstones WHERE space = 'decisions';

-- ── devices ────────────────────────────────────────────────────────────────────────────────────────────

-- One enrolled installation. The row is locked while a batch of the device is applied.
CREATE TABLE devices (
    device_id    VARCHAR(255) PRIMARY KEY,
    device_type  VARCHAR(50) NOT NULL CHECK (device_type IN ('mobile', 'desktop', 'tablet')),
    app_version  VARCHAR(50) NOT NULL,
    name         VARCHAR(255) NOT NULL DEFAULT '',
    site         VARCHAR(255) NOT NULL DEFAULT '',
    token_sha256 VARCHAR(64) NOT NULL UNIQUE,      -- the token itself is never stored
    enrolled_at  TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    confirmed_at TIMESTAMPTZ(3),                   -- when the token was first used: until then its code may be again
    revoked_at   TIMESTAMPTZ(3),
    last_seen_at TIMESTAMPTZ(3)
);

-- Which device has brought, or has been told that we hold, which object: it may have it back.
CREATE TABLE file_devices (
    checksum  VARCHAR(64) NOT NULL,                -- of files
    device_id VARCHAR(255) NOT NULL REFERENCES devices (device_id),
    PRIMARY KEY (checksum, device_id)
);

-- One life of a device's disk: a restored or cloned one takes a new incarnation, and counts its seq anew.
CREATE TABLE device_incarnations (
    device_id    VARCHAR(255) NOT NULL REFERENCES devices (device_id),
    incarnation  UUID NOT NULL,
    last_seq     BIGINT NOT NULL DEFAULT 0,        -- highest seq acknowledged
    last_ack     BIGINT NOT NULL DEFAULT 0,        -- counts the batches acknowledged
    first_seen_at TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    PRIMARY KEY (device_id, incarnation)
);

-- A code with which one device may enrol once.
CREATE TABLE enrolment_codes (
    code_sha256 VARCHAR(64) PRIMARY KEY,
    site        VARCHAR(255) NOT NULL DEFAULT '',
    created_at  TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    created_by  UUID REFERENCES users (id),
    expires_at  TIMESTAMPTZ(3) NOT NULL,
    used_at     TIMESTAMPTZ(3),
    device_id   VARCHAR(255) REFERENCES devices (device_id)
);

-- ── what devices sent ──────────────────────────────────────────────────────────────────────────────────

-- Every operation that was applied, as it came: the server's side of the device's queue. It is emptied from its
-- beginning (setting operation_days); nothing is decided by it.
CREATE TABLE tauri_sync_queue (
    id            BIGSERIAL PRIMARY KEY,
    device_id     VARCHAR(255) NOT NULL,
    device_type   VARCHAR(50) NOT NULL,
    app_version   VARCHAR(50) NOT NULL,
    entity_type   VARCHAR(100) NOT NULL,
    entity_id     UUID NOT NULL,
    operation     VARCHAR(20) NOT NULL CHECK (operation IN ('INSERT', 'UPDATE', 'DELETE')),
    data          JSONB NOT NULL,
    priority      INTEGER DEFAULT 0,
    retry_count   INTEGER DEFAULT 0,
    last_retry_at TIMESTAMPTZ(3),
    created_at    TIMESTAMPTZ(3) DEFAULT now(),
    processed_at  TIMESTAMPTZ(3),
    op_id         UUID NOT NULL
);
CREATE INDEX idx_tauri_sync_queue_device_priority
    ON tauri_sync_queue (device_id, device_type, priority, created_at);
CREATE INDEX idx_tauri_sync_queue_unprocessed ON tauri_sync_queue (processed_at) WHERE processed_at IS NULL;

-- The ledger: what was answered to an operation for good. A replay gets the same answer; the same op_id or seq
-- with other content means that two disks claim to be one device. After operation_days it is forgotten: a replay
-- from before is then judged by the rows it made, which are there with the same checksum.
CREATE TABLE sync_ops (
    device_id   VARCHAR(255) NOT NULL,
    op_id       UUID NOT NULL,
    incarnation UUID NOT NULL,
    seq         BIGINT NOT NULL,
    sha256      BYTEA NOT NULL,                    -- of the operation's data
    outcome     TEXT NOT NULL CHECK (outcome IN ('applied', 'duplicate', 'superseded')),
    applied_at  TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    PRIMARY KEY (op_id, device_id),                -- device_id last: else the planner, whose statistics lag behind a
    UNIQUE (seq, incarnation, device_id)           -- growing table, reads all of the device's operations
);

-- An operation that cannot be applied: an alarm. Its bytes are kept here too, and sending it again tries again.
CREATE TABLE sync_rejections (
    device_id   VARCHAR(255) NOT NULL,
    op_id       UUID NOT NULL,
    seq         BIGINT NOT NULL,
    entity_type TEXT NOT NULL,
    entity_id   TEXT NOT NULL,
    operation   TEXT NOT NULL,
    data        BYTEA NOT NULL,                    -- exactly as sent
    code        TEXT NOT NULL,
    detail      TEXT NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 1,
    first_at    TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    last_at     TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    resolved_at TIMESTAMPTZ(3),
    PRIMARY KEY (op_id, device_id)
);
CREATE INDEX idx_sync_rejections_open ON sync_rejections (last_at) WHERE resolved_at IS NULL;

-- A change of a session that met another: both are kept for a person to see.
CREATE TABLE conflict_log (
    id          UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    entity_type TEXT NOT NULL,
    entity_id   UUID NOT NULL,
    device_id   VARCHAR(255) NOT NULL,
    op_id       UUID NOT NULL,
    kept        TEXT NOT NULL CHECK (kept IN ('device', 'server')),
    device_data JSONB NOT NULL,
    server_data JSONB NOT NULL,
    created_at  TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    resolved_at TIMESTAMPTZ(3),
    resolved_by UUID REFERENCES users (id)
);
CREATE INDEX idx_conflict_log_open ON conflict_log (created_at) WHERE resolved_at IS NULL;

-- ── facts, as the devices made them ────────────────────────────────────────────────────────────────────
-- Columns are the edge's, with its values; user ids are users.id. row_sha256 is that of the bytes the row last
-- came in: what the digest compares. JSON documents stay the text they came as, so those bytes can be made again.

-- One physical product that came to a bench.
CREATE TABLE inspection_targets (
    id           UUID PRIMARY KEY,
    product_id   UUID NOT NULL,
    batch_id     TEXT NOT NULL,                    -- lot
    qr_code      TEXT NOT NULL,
    serial_no    TEXT NOT NULL,
    product_code TEXT NOT NULL,
    created_at   TIMESTAMPTZ(3) NOT NULL,
    updated_at   TIMESTAMPTZ(3) NOT NULL,
    device_id    VARCHAR(255) NOT NULL,
    row_sha256   BYTEA NOT NULL
) PARTITION BY RANGE (id);
CREATE TABLE inspection_targets_other PARTITION OF inspection_targets DEFAULT;
CREATE INDEX idx_inspection_targets_qr_code ON inspection_targets (qr_code, created_at);
CREATE INDEX idx_inspection_targets_device ON inspection_targets (device_id, id);
CREATE INDEX idx_inspection_targets_serial ON inspection_targets (serial_no) WHERE serial_no <> '';

-- One inspection of one target.
CREATE TABLE inspection_sessions (
    id                UUID PRIMARY KEY,
    target_id         UUID NOT NULL,
    user_id           UUID,                        -- NULL: made by a hot folder
    status            TEXT NOT NULL CHECK (status IN ('PENDING', 'IN_PROGRESS', 'AI_COMPLETED', 'HUMAN_REVIEW',
                                                      'COMPLETED', 'FAILED', 'CANCELLED')),
    started_at        TIMESTAMPTZ(3) NOT NULL,
    completed_at      TIMESTAMPTZ(3),
    product_id        UUID NOT NULL,
    work_day          DATE NOT NULL,
    source            TEXT NOT NULL,
    accept_ai_ok      BOOLEAN NOT NULL,
    final_result      TEXT CHECK (final_result IN ('OK', 'NG', 'REVIEW')),
    reason            TEXT,
    master_version    TEXT NOT NULL,
    criteria_snapshot TEXT NOT NULL,               -- JSON
    version           INTEGER NOT NULL,            -- the device's count of changes; what base_version is held against
    updated_at        TIMESTAMPTZ(3) NOT NULL,
    clock_offset_ms   BIGINT NOT NULL DEFAULT 0,   -- updated_at + this = the server's time of the change
    device_id         VARCHAR(255) NOT NULL,
    insert_sha256     BYTEA NOT NULL,              -- of the bytes it was first sent in
    row_sha256        BYTEA NOT NULL
) PARTITION BY RANGE (id);
CREATE TABLE inspection_sessions_other PARTITION OF inspection_sessions DEFAULT;
CREATE INDEX idx_inspection_sessions_status_completed ON inspection_sessions (status, completed_at);
CREATE INDEX idx_inspection_sessions_target ON inspection_sessions (target_id);
CREATE INDEX idx_inspection_sessions_device ON inspection_sessions (device_id, id);
CREATE INDEX idx_inspection_sessions_day ON inspection_sessions (work_day, id);
CREATE INDEX idx_inspection_sessions_product_day ON inspection_sessions (product_id, work_day, id);
CREATE INDEX idx_inspection_sessions_user_day ON inspection_sessions (user_id, work_day, id);
CREATE INDEX idx_inspection_sessions_device_day ON inspection_sessions (device_id, work_day, id);
CREATE INDEX idx_inspection_sessions_not_completed ON inspection_sessions (work_day, id) WHERE status <> 'COMPLETED';
CREATE INDEX idx_inspection_sessions_not_ok ON inspection_sessions (work_day, id) WHERE final_result <> 'OK';

-- One photograph; its bytes are the object sha256.
CREATE TABLE inspection_images (
    id          UUID PRIMARY KEY,
    session_id  UUID NOT NULL,
    image_type  TEXT NOT NULL,
    file_size   BIGINT NOT NULL,                   -- bytes
    created_at  TIMESTAMPTZ(3) NOT NULL,
    item_id     UUID NOT NULL,
    sha256      VARCHAR(64) NOT NULL,
    mime_type   TEXT NOT NULL,
    width_px    INTEGER NOT NULL,
    height_px   INTEGER NOT NULL,
    captured_at TIMESTAMPTZ(3) NOT NULL,
    captured_by UUID,
    source      TEXT NOT NULL,
    origin      TEXT NOT NULL,
    device_id   VARCHAR(255) NOT NULL,
    row_sha256  BYTEA NOT NULL
) PARTITION BY RANGE (id);
CREATE TABLE inspection_images_other PARTITION OF inspection_images DEFAULT;
CREATE INDEX idx_inspection_images_session ON inspection_images (session_id);
CREATE INDEX idx_inspection_images_device ON inspection_images (device_id, id);

-- One pipeline run on one image.
CREATE TABLE ai_inspection_results (
    id               UUID PRIMARY KEY,
    session_id       UUID NOT NULL,
    pipeline_version TEXT,
    overall_result   TEXT NOT NULL CHECK (overall_result IN ('OK', 'NG', 'REVIEW', 'ERROR')),
    confidence       DOUBLE PRECISION NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    processing_time  DOUBLE PRECISION NOT NULL,    -- seconds
    detailed_results TEXT,                         -- JSON
    created_at       TIMESTAMPTZ(3) NOT NULL,
    item_id          UUID NOT NULL,
    image_id         UUID NOT NULL,
    pipeline_id      UUID,
    pipeline_sha256  TEXT,
    criteria_sha256  TEXT NOT NULL,
    model_sha256s    TEXT NOT NULL,                -- JSON list
    provider         TEXT,
    sample_weight    DOUBLE PRECISION,
    device_id        VARCHAR(255) NOT NULL,
    row_sha256       BYTEA NOT NULL
) PARTITION BY RANGE (id);
CREATE TABLE ai_inspection_results_other PARTITION OF ai_inspection_results DEFAULT;
CREATE INDEX idx_ai_results_confidence_time ON ai_inspection_results (confidence, created_at);
CREATE INDEX idx_ai_results_session ON ai_inspection_results (session_id);
CREATE INDEX idx_ai_results_device ON ai_inspection_results (device_id, id);

-- One judgement by one person; a correction names the one it supersedes.
CREATE TABLE human_verification_results (
    id                UUID PRIMARY KEY,
    session_id        UUID NOT NULL,
    user_id           UUID NOT NULL,
    final_result      TEXT NOT NULL CHECK (final_result IN ('OK', 'NG', 'HOLD')),
    notes             TEXT,
    verification_time DOUBLE PRECISION NOT NULL,   -- seconds
    created_at        TIMESTAMPTZ(3) NOT NULL,
    item_id           UUID,                        -- NULL: the whole session
    image_id          UUID,
    reason_code       TEXT,
    saw_ai            BOOLEAN NOT NULL,
    checks            TEXT,                        -- JSON
    region            TEXT,                        -- JSON
    supersedes        UUID,
    device_id         VARCHAR(255) NOT NULL,
    row_sha256        BYTEA NOT NULL
) PARTITION BY RANGE (id);
CREATE TABLE human_verification_results_other PARTITION OF human_verification_results DEFAULT;
CREATE INDEX idx_human_results_final_date ON human_verification_results (final_result, created_at);
CREATE INDEX idx_human_results_session ON human_verification_results (session_id);
CREATE INDEX idx_human_results_device ON human_verification_results (device_id, id);

-- ── derived: the present verdict of every item, and counts (noted by triggers, folded in together) ──────

-- What now holds for one item of one session, whatever came first: the AI verdict of its newest image, the newest
-- human verdict. Ids only grow, so newest means the highest id. The session's own columns are here for the counts.
CREATE TABLE item_verdicts (
    session_id        UUID NOT NULL,
    item_id           UUID NOT NULL,
    device_id         VARCHAR(255) NOT NULL,       -- of the session
    product_id        UUID NOT NULL,
    work_day          DATE NOT NULL,
    image_id          UUID,
    ai_result_id      UUID,
    ai_result         TEXT NOT NULL DEFAULT '',    -- '' = none yet
    weight            DOUBLE PRECISION NOT NULL DEFAULT 1,
    human_result_id   UUID,
    human_result      TEXT NOT NULL DEFAULT '',    -- '' = none yet
    reason_code       TEXT NOT NULL DEFAULT '',
    user_id           UUID,                        -- who judged last; NULL = nobody
    verification_time DOUBLE PRECISION NOT NULL DEFAULT 0,   -- seconds
    PRIMARY KEY (session_id, item_id)
) PARTITION BY RANGE (session_id);
CREATE TABLE item_verdicts_other PARTITION OF item_verdicts DEFAULT;
CREATE INDEX idx_item_verdicts_not_ok ON item_verdicts (item_id, session_id)
    WHERE ai_result NOT IN ('', 'OK') OR human_result NOT IN ('', 'OK');

-- What changed since counts were folded last, as the statements that changed it left it: the triggers below append,
-- fold_counts takes away. No index and no key, so that nobody waits for anybody. What holds now is the counts and these.
CREATE TABLE verdict_changes (
    device_id           VARCHAR(255) NOT NULL,
    work_day            DATE NOT NULL,
    product_id          UUID NOT NULL,
    item_id             UUID NOT NULL,
    user_id             UUID NOT NULL,             -- all ones: nobody
    ai_result           TEXT NOT NULL,
    human_result        TEXT NOT NULL,
    reason_code         TEXT NOT NULL,             -- '' unless a person decided NG
    verdict_count       BIGINT NOT NULL,           -- below 0: so many less
    weight_sum          DOUBLE PRECISION NOT NULL,
    verification_time_s DOUBLE PRECISION NOT NULL  -- sum over the verdicts
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = -1);

-- The same of finished sessions.
CREATE TABLE session_changes (
    device_id     VARCHAR(255) NOT NULL,
    work_day      DATE NOT NULL,
    product_id    UUID NOT NULL,
    user_id       UUID NOT NULL,
    status        TEXT NOT NULL,
    final_result  TEXT NOT NULL,
    session_count BIGINT NOT NULL,
    cycle_time_s  DOUBLE PRECISION NOT NULL        -- sum over the sessions
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = -1);

-- The three tables of counts hold every sum a statistic may ask for. One verdict counts in 12 rows: by its day and its
-- month (its first); by item (level 2), by product (1) and in all (0); by person and whoever it was. What a row is
-- not told apart by is all zeros; a person who is nobody is all ones. Rows are told apart by device.
CREATE TABLE verdict_counts (
    grain               TEXT NOT NULL,             -- D, M
    level               SMALLINT NOT NULL,         -- 0 everything, 1 product, 2 item
    by_person           BOOLEAN NOT NULL,
    period              DATE NOT NULL,
    device_id           VARCHAR(255) NOT NULL,
    product_id          UUID NOT NULL,
    item_id             UUID NOT NULL,
    user_id             UUID NOT NULL,
    ai_result           TEXT NOT NULL,
    human_result        TEXT NOT NULL,
    verdict_count       BIGINT NOT NULL,
    weight_sum          DOUBLE PRECISION NOT NULL,
    verification_time_s DOUBLE PRECISION NOT NULL, -- sum over the verdicts
    PRIMARY KEY (grain, level, by_person, period, device_id, product_id, item_id, user_id, ai_result, human_result)
) WITH (fillfactor = 70);
CREATE INDEX idx_verdict_counts_product ON verdict_counts (product_id, grain, by_person, period) WHERE level = 1;
CREATE INDEX idx_verdict_counts_item ON verdict_counts (item_id, grain, by_person, period) WHERE level = 2;

-- Counts of the item_verdicts where a person decided NG, by the reason given ('' = none).
CREATE TABLE reason_counts (
    grain       TEXT NOT NULL,
    level       SMALLINT NOT NULL,
    by_person   BOOLEAN NOT NULL,
    period      DATE NOT NULL,
    device_id   VARCHAR(255) NOT NULL,
    product_id  UUID NOT NULL,
    item_id     UUID NOT NULL,
    user_id     UUID NOT NULL,
    reason_code TEXT NOT NULL,
    ng_count    BIGINT NOT NULL,
    PRIMARY KEY (grain, level, by_person, period, device_id, product_id, item_id, user_id, reason_code)
) WITH (fillfactor = 70);

-- Counts of finished sessions by their present result, and the seconds they took; level 0 and 1 only.
CREATE TABLE session_counts (
    grain         TEXT NOT NULL,
    level         SMALLINT NOT NULL,
    by_person     BOOLEAN NOT NULL,
    period        DATE NOT NULL,
    device_id     VARCHAR(255) NOT NULL,
    product_id    UUID NOT NULL,
    user_id       UUID NOT NULL,
    status        TEXT NOT NULL,
    final_result  TEXT NOT NULL,                   -- '' unless COMPLETED
    session_count BIGINT NOT NULL,
    cycle_time_s  DOUBLE PRECISION NOT NULL,       -- sum over the sessions
    PRIMARY KEY (grain, level, by_person, period, device_id, product_id, user_id, status, final_result)
) WITH (fillfactor = 70);

-- Where what happened on a day to an item of a product by a person counts: 12 rows, 8 without an item.
CREATE FUNCTION counted_cells(day DATE, product UUID, item UUID, person UUID)
RETURNS TABLE (grain TEXT, level SMALLINT, by_person BOOLEAN, period DATE, product_id UUID, item_id UUID, user_id UUID)
LANGUAGE sql IMMUTABLE ROWS 12 AS $$
    SELECT g.grain, l.level, p.by_person, g.period,
           CASE WHEN l.level >= 1 THEN product ELSE '00000000-0000-0000-0000-000000000000' END,
           CASE WHEN l.level = 2 THEN item ELSE '00000000-0000-0000-0000-000000000000' END,
           CASE WHEN p.by_person THEN person ELSE '00000000-0000-0000-0000-000000000000' END
    FROM (VALUES ('D', day), ('M', day - (extract(day FROM day)::int - 1))) AS g (grain, period)
    CROSS JOIN (VALUES (0::smallint), (1::smallint), (2::smallint)) AS l (level)
    CROSS JOIN (VALUES (true), (false)) AS p (by_person)
    WHERE l.level < 2 OR item IS NOT NULL
$$;

-- What new results mean for their items; ingest calls it once for all it stored, in the same transaction, so that an
-- inspection that comes whole is counted once. An AI verdict holds unless a newer picture of its item has one (of one
-- picture the newer verdict holds), a human one unless there is a newer; one on the whole session is none on its items.
-- OFFSET 0 keeps each look-up one step of an index, whatever the planner believes of tables that grow.
CREATE FUNCTION take_results(ai_ids UUID[], human_ids UUID[]) RETURNS void LANGUAGE sql AS $$
    WITH ai AS (
        SELECT DISTINCT ON (session_id, item_id) session_id, item_id, image_id, id, overall_result,
               coalesce(sample_weight, 1) AS weight
        FROM unnest(ai_ids) AS new (row_id)
        CROSS JOIN LATERAL (SELECT * FROM ai_inspection_results WHERE id = row_id OFFSET 0) AS r
        ORDER BY session_id, item_id, image_id DESC, id DESC
    ), human AS (
        SELECT DISTINCT ON (session_id, item_id) session_id, item_id, id, final_result,
               coalesce(reason_code, '') AS reason_code, user_id, verification_time
        FROM unnest(human_ids) AS new (row_id)
        CROSS JOIN LATERAL (SELECT * FROM human_verification_results WHERE id = row_id OFFSET 0) AS r
        WHERE item_id IS NOT NULL
        ORDER BY session_id, item_id, id DESC
    )
    INSERT INTO item_verdicts AS v (session_id, item_id, device_id, product_id, work_day, image_id, ai_result_id,
                                    ai_result, weight, human_result_id, human_result, reason_code, user_id,
                                    verification_time)
    SELECT session_id, item_id, s.device_id, s.product_id, s.work_day, ai.image_id, ai.id,
           coalesce(overall_result, ''), coalesce(weight, 1), human.id, coalesce(human.final_result, ''),
           coalesce(reason_code, ''), human.user_id, coalesce(verification_time, 0)
    FROM ai FULL JOIN human USING (session_id, item_id)
    CROSS JOIN LATERAL (SELECT * FROM inspection_sessions WHERE inspection_sessions.id = session_id OFFSET 0) AS s
    ORDER BY session_id, item_id
    ON CONFLICT (session_id, item_id) DO UPDATE
    SET (image_id, ai_result_id, ai_result, weight) = (
            SELECT n.* FROM (VALUES (excluded.image_id, excluded.ai_result_id, excluded.ai_result, excluded.weight),
                                    (v.image_id, v.ai_result_id, v.ai_result, v.weight)) AS n (image, id, result, weight)
            ORDER BY n.image DESC NULLS LAST, n.id DESC NULLS LAST LIMIT 1),
        (human_result_id, human_result, reason_code, user_id, verification_time) = (
            SELECT n.* FROM (VALUES (excluded.human_result_id, excluded.human_result, excluded.reason_code,
                                     excluded.user_id, excluded.verification_time),
                                    (v.human_result_id, v.human_result, v.reason_code, v.user_id,
                                     v.verification_time)) AS n (id, result, reason, person, seconds)
            ORDER BY n.id DESC NULLS LAST LIMIT 1)
$$;

-- What changed counts once more (1) or no longer (-1).
CREATE FUNCTION note_verdicts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    n CONSTANT INTEGER := TG_ARGV[0]::integer;
BEGIN
    INSERT INTO verdict_changes
    SELECT device_id, work_day, product_id, item_id, coalesce(user_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
           ai_result, human_result, CASE human_result WHEN 'NG' THEN reason_code ELSE '' END,
           n * count(*), n * sum(weight), n * sum(verification_time)
    FROM changed GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;
    RETURN NULL;
END $$;
CREATE TRIGGER item_verdicts_come AFTER INSERT ON item_verdicts
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_verdicts('1');
CREATE TRIGGER item_verdicts_leave AFTER UPDATE ON item_verdicts
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_verdicts('-1');
CREATE TRIGGER item_verdicts_return AFTER UPDATE ON item_verdicts
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_verdicts('1');

-- Corrected after completion: the session counts under its present result. A clock set back makes no time.
CREATE FUNCTION note_sessions() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    n CONSTANT INTEGER := TG_ARGV[0]::integer;
BEGIN
    INSERT INTO session_changes
    SELECT device_id, work_day, product_id, coalesce(user_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff'), status,
           coalesce(final_result, ''), n * count(*),
           n * sum(greatest(0, coalesce(extract(epoch FROM completed_at - started_at), 0)))
    FROM changed WHERE status IN ('COMPLETED', 'CANCELLED', 'FAILED') GROUP BY 1, 2, 3, 4, 5, 6;
    RETURN NULL;
END $$;
CREATE TRIGGER inspection_sessions_come AFTER INSERT ON inspection_sessions
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_sessions('1');
CREATE TRIGGER inspection_sessions_leave AFTER UPDATE ON inspection_sessions
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_sessions('-1');
CREATE TRIGGER inspection_sessions_return AFTER UPDATE ON inspection_sessions
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_sessions('1');

-- Adds at most so many waiting changes of each kind (NULL: all) to all their cells, and returns how many it took. What
-- it takes and what it adds are one commit; what is pushed meanwhile waits for the next time. One at a time: where
-- somebody else folds it takes none. Rows with count 0 stay.
CREATE FUNCTION fold_counts(at_most INTEGER) RETURNS BIGINT LANGUAGE plpgsql SET work_mem = '64MB' AS $$
DECLARE
    verdicts BIGINT;
    sessions BIGINT;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('imageflowcanvas.counts')) THEN
        RETURN 0;
    END IF;
    WITH gone AS (
        DELETE FROM verdict_changes WHERE ctid = ANY (ARRAY(SELECT ctid FROM verdict_changes LIMIT at_most)) RETURNING *
    ), f AS (
        SELECT device_id, work_day, product_id, item_id, user_id, ai_result, human_result, reason_code,
               sum(verdict_count) AS cases, sum(weight_sum) AS weight, sum(verification_time_s) AS seconds
        FROM gone GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
    ), reasons AS (
        INSERT INTO reason_counts AS c
        SELECT cell.grain, cell.level, cell.by_person, cell.period, f.device_id, cell.product_id, cell.item_id,
               cell.user_id, f.reason_code, sum(f.cases)
        FROM f CROSS JOIN LATERAL counted_cells(f.work_day, f.product_id, f.item_id, f.user_id) AS cell
        WHERE f.human_result = 'NG' GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
        ON CONFLICT (grain, level, by_person, period, device_id, product_id, item_id, user_id, reason_code)
        DO UPDATE SET ng_count = c.ng_count + excluded.ng_count
    ), sums AS (
        INSERT INTO verdict_counts AS c
        SELECT cell.grain, cell.level, cell.by_person, cell.period, f.device_id, cell.product_id, cell.item_id,
               cell.user_id, f.ai_result, f.human_result, sum(f.cases), sum(f.weight), sum(f.seconds)
        FROM f CROSS JOIN LATERAL counted_cells(f.work_day, f.product_id, f.item_id, f.user_id) AS cell
        GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
        ON CONFLICT (grain, level, by_person, period, device_id, product_id, item_id, user_id, ai_result, human_result)
        DO UPDATE SET verdict_count = c.verdict_count + excluded.verdict_count,
                      weight_sum = c.weight_sum + excluded.weight_sum,
                      verification_time_s = c.verification_time_s + excluded.verification_time_s
    )
    SELECT count(*) INTO verdicts FROM gone;
    WITH gone AS (
        DELETE FROM session_changes WHERE ctid = ANY (ARRAY(SELECT ctid FROM session_changes LIMIT at_most)) RETURNING *
    ), sums AS (
        INSERT INTO session_counts AS c
        SELECT cell.grain, cell.level, cell.by_person, cell.period, f.device_id, cell.product_id, cell.user_id,
               f.status, f.final_result, sum(f.session_count), sum(f.cycle_time_s)
        FROM gone AS f CROSS JOIN LATERAL counted_cells(f.work_day, f.product_id, NULL, f.user_id) AS cell
        GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
        ON CONFLICT (grain, level, by_person, period, device_id, product_id, user_id, status, final_result)
        DO UPDATE SET session_count = c.session_count + excluded.session_count,
                      cycle_time_s = c.cycle_time_s + excluded.cycle_time_s
    )
    SELECT count(*) INTO sessions FROM gone;
    RETURN verdicts + sessions;
END $$;

-- ── months ─────────────────────────────────────────────────────────────────────────────────────────────

-- The lowest UUIDv7 of an instant: the bound of a month's partition, and of a query over a stretch of time.
CREATE FUNCTION uuid7_floor(instant TIMESTAMPTZ) RETURNS UUID LANGUAGE sql STABLE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM instant) * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid
$$;

-- Makes the partitions of every month from first_month to last_month that are not there yet, and moves into
-- them what the DEFAULT partition kept meanwhile. Returns how many it made. Safe to run at any time, from
-- several instances at once.
CREATE FUNCTION make_partitions(first_month DATE, last_month DATE) RETURNS INTEGER LANGUAGE plpgsql AS $$
DECLARE
    parent TEXT;
    child TEXT;
    key TEXT;
    month DATE;
    low UUID;
    high UUID;
    made INTEGER := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('imageflowcanvas.partitions'));
    FOREACH parent IN ARRAY ARRAY['pipeline_executions', 'component_executions', 'inspection_targets',
        'inspection_sessions', 'inspection_images', 'ai_inspection_results', 'human_verification_results',
        'item_verdicts']
    LOOP
        key := CASE parent WHEN 'item_verdicts' THEN 'session_id' ELSE 'id' END;
        FOR month IN
            SELECT generate_series(date_trunc('month', first_month::timestamp), last_month, interval '1 month')::date
        LOOP
            child := parent || to_char(month, '"_"YYYYMM');
            CONTINUE WHEN to_regclass(child) IS NOT NULL;
            low := uuid7_floor(month::timestamp AT TIME ZONE 'UTC');
            high := uuid7_floor((month + interval '1 month') AT TIME ZONE 'UTC');
            EXECUTE format('LOCK TABLE %I_other IN ACCESS EXCLUSIVE MODE', parent);
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', child, parent);
            EXECUTE format('WITH moved AS (DELETE FROM %I_other WHERE %I >= %L AND %I < %L RETURNING *) '
                           'INSERT INTO %I SELECT * FROM moved', parent, key, low, key, high, child);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                           parent, child, low, high);
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;
