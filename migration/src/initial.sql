-- The first schema. Written for PostgreSQL; `script.rs` maps the types for SQLite.
-- One statement ends at each line that is just a semicolon.

CREATE TABLE provider (
    id                   {identity},
    name                 text NOT NULL UNIQUE,
    url                  text NOT NULL,
    host                 text NOT NULL,
    format               text NOT NULL,
    interval_ms          bigint NOT NULL CHECK (interval_ms >= 1000),
    timezone             text NOT NULL,
    timeout_ms           bigint NOT NULL CHECK (timeout_ms > 0),
    revision             bigint NOT NULL DEFAULT 1,
    created_at           timestamptz NOT NULL,

    -- When it is due, and who has claimed it. late_at is next_due_at plus one interval:
    -- the order of claims, stored so that an index can give it.
    next_due_at          timestamptz NOT NULL,
    late_at              timestamptz NOT NULL,
    token                bigint NOT NULL DEFAULT 0,
    current_run          uuid,

    -- What the last stored feed was, good only under the same provider and parser revision.
    etag                 text,
    last_modified        text,
    body_digest          bytea,
    memory_revision      bigint,
    memory_parser        bigint,

    transient_failures   bigint NOT NULL DEFAULT 0,
    consecutive_failures bigint NOT NULL DEFAULT 0,
    consecutive_crashes  bigint NOT NULL DEFAULT 0,
    last_success_at      timestamptz,
    last_error           text,
    paused_at            timestamptz,
    paused_by            text,
    paused_reason        text,
    paused_until         timestamptz,
    retired_at           timestamptz
)
;
CREATE INDEX provider_due ON provider (next_due_at)
    WHERE current_run IS NULL AND retired_at IS NULL
;
CREATE INDEX provider_late ON provider (late_at)
    WHERE current_run IS NULL AND retired_at IS NULL
;
CREATE INDEX provider_host ON provider (host)
;
-- What all workers know of a host together: when a fetch last started there, and until when it
-- wants to be left alone. Fetches at once are counted from the running runs.
CREATE TABLE host (
    name       text PRIMARY KEY,
    started_at timestamptz,
    not_before timestamptz
)
;
CREATE TABLE run (
    id               uuid PRIMARY KEY,
    provider_id      bigint NOT NULL REFERENCES provider (id) ON DELETE CASCADE,
    token            bigint NOT NULL,
    state            text NOT NULL CHECK (state IN ('queued', 'running', 'finished')),
    outcome          text CHECK (outcome IN ('stored', 'unchanged', 'failed', 'cancelled', 'fenced', 'lost')),
    traceparent      text,

    queued_at        timestamptz NOT NULL,
    next_push_at     timestamptz,
    push_count       bigint NOT NULL DEFAULT 0,
    postponed_for    text CHECK (postponed_for IN ('host_limit', 'host_gap', 'retry_after', 'suspect')),
    started_at       timestamptz,
    finished_at      timestamptz,
    lease_until      timestamptz,
    worker           text,

    http_status      bigint,
    bytes            bigint,
    events_new       bigint NOT NULL DEFAULT 0,
    events_changed   bigint NOT NULL DEFAULT 0,
    events_unchanged bigint NOT NULL DEFAULT 0,
    events_gone      bigint NOT NULL DEFAULT 0,
    events_returned  bigint NOT NULL DEFAULT 0,
    events_held      bigint NOT NULL DEFAULT 0,
    set_aside        bigint NOT NULL DEFAULT 0,
    warnings         bigint NOT NULL DEFAULT 0,
    fetch_ms         bigint,
    parse_ms         bigint,
    compare_ms       bigint,
    store_ms         bigint,
    error            text,

    CHECK ((state = 'finished') = (finished_at IS NOT NULL)),
    CHECK ((state = 'finished') = (outcome IS NOT NULL)),
    CHECK (state <> 'running' OR (worker IS NOT NULL AND lease_until IS NOT NULL))
)
;
-- One sync per provider at a time, held by the database itself.
CREATE UNIQUE INDEX run_open ON run (provider_id) WHERE finished_at IS NULL
;
CREATE INDEX run_to_push ON run (next_push_at) WHERE state = 'queued'
;
CREATE INDEX run_lease ON run (lease_until) WHERE state = 'running'
;
CREATE INDEX run_by_worker ON run (worker) WHERE state = 'running'
;
CREATE INDEX run_by_provider ON run (provider_id, queued_at)
;
CREATE INDEX run_finished ON run (finished_at)
;
CREATE TABLE fan_out (
    id          uuid PRIMARY KEY,
    trigger     text NOT NULL CHECK (trigger IN ('tick', 'command', 'api')),
    traceparent text,
    started_at  timestamptz NOT NULL,
    sealed_at   timestamptz,
    closed_at   timestamptz
)
;
CREATE INDEX fan_out_open ON fan_out (started_at) WHERE closed_at IS NULL
;
CREATE INDEX fan_out_closed ON fan_out (closed_at)
;
CREATE TABLE fan_out_run (
    fan_out_id uuid NOT NULL REFERENCES fan_out (id) ON DELETE CASCADE,
    run_id     uuid NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    PRIMARY KEY (fan_out_id, run_id)
)
;
CREATE INDEX fan_out_run_by_run ON fan_out_run (run_id)
;
-- Worker processes, by their last sign of life.
CREATE TABLE worker (
    name        text PRIMARY KEY,
    version     text NOT NULL,
    concurrency bigint NOT NULL,
    started_at  timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL
)
;
-- What someone asked for and no scheduler has taken up yet.
CREATE TABLE fan_out_request (
    fan_out_id  uuid NOT NULL REFERENCES fan_out (id) ON DELETE CASCADE,
    provider_id bigint NOT NULL REFERENCES provider (id) ON DELETE CASCADE,
    PRIMARY KEY (fan_out_id, provider_id)
)
;
CREATE INDEX fan_out_request_by_provider ON fan_out_request (provider_id)
;
CREATE TABLE event (
    id                   uuid PRIMARY KEY,
    provider_id          bigint NOT NULL REFERENCES provider (id) ON DELETE CASCADE,
    base_id              text NOT NULL,
    event_id             text NOT NULL,
    title                text NOT NULL,
    starts_at            timestamptz NOT NULL,
    ends_at              timestamptz,
    starts_local         timestamp NOT NULL,
    ends_local           timestamp,
    sell_from            timestamptz,
    sell_to              timestamptz,
    sold_out             boolean NOT NULL,
    sell_mode            text NOT NULL CHECK (sell_mode IN ('online', 'offline')),
    ever_online          boolean NOT NULL,
    organizer_company_id text,
    min_price            bigint,
    max_price            bigint,
    zones                jsonb NOT NULL,
    digest               bytea NOT NULL,
    first_seen_at        timestamptz NOT NULL,
    changed_at           timestamptz NOT NULL,
    gone_at              timestamptz,
    missing_since        timestamptz
)
;
CREATE INDEX event_by_provider ON event (provider_id)
;
CREATE INDEX event_by_start ON event (starts_at, id) WHERE ever_online
;
-- Outlives its run: runs are kept for days, changes for months.
CREATE TABLE event_change (
    run_id   uuid NOT NULL,
    position bigint NOT NULL,
    event_id uuid NOT NULL,
    kind     text NOT NULL CHECK (kind IN ('created', 'updated', 'gone', 'returned')),
    changes  jsonb,
    PRIMARY KEY (run_id, position)
)
;
CREATE INDEX event_change_by_event ON event_change (event_id)
;
CREATE TABLE set_aside (
    run_id   uuid NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    ordinal  bigint NOT NULL,
    position bigint NOT NULL,
    path     text NOT NULL,
    reason   text NOT NULL,
    base_id  text,
    event_id text,
    snippet  text NOT NULL,
    PRIMARY KEY (run_id, ordinal)
)
;
CREATE TABLE dataset (
    id      bigint PRIMARY KEY CHECK (id = 1),
    version bigint NOT NULL,
    epoch   uuid NOT NULL
)
;
CREATE TABLE dataset_commit (
    version      bigint PRIMARY KEY,
    run_id       uuid NOT NULL,
    committed_at timestamptz NOT NULL
)
;
CREATE INDEX dataset_commit_by_run ON dataset_commit (run_id)
;
CREATE INDEX dataset_commit_by_time ON dataset_commit (committed_at)
;
