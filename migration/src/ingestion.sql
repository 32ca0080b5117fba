-- What any feed in any mood needs. Written for PostgreSQL; `script.rs` maps the types for SQLite.
-- One statement ends at each line that is just a semicolon.

-- Settings of a provider beyond the first: how it is asked (references to secrets, never secrets),
-- the longest wait that its own caching headers can bring about, how much it may send, and from
-- which loss on a feed's vanishing is held (with 100 percent it never is).
ALTER TABLE provider ADD COLUMN access jsonb NOT NULL DEFAULT '{}'
;
ALTER TABLE provider ADD COLUMN max_interval_ms bigint
;
ALTER TABLE provider ADD COLUMN max_body bigint CHECK (max_body > 0)
;
ALTER TABLE provider ADD COLUMN hold_percent bigint NOT NULL DEFAULT 50 CHECK (hold_percent BETWEEN 0 AND 100)
;
ALTER TABLE provider ADD COLUMN hold_events bigint NOT NULL DEFAULT 20 CHECK (hold_events >= 0)
;
-- What its last feed told of itself: where it has moved for good, and how many events it lacks that
-- are held.
ALTER TABLE provider ADD COLUMN moved_to text
;
ALTER TABLE provider ADD COLUMN events_held bigint NOT NULL DEFAULT 0
;
-- Whether someone has confirmed that what is missing is gone.
ALTER TABLE run ADD COLUMN accept_gone boolean NOT NULL DEFAULT false
;
ALTER TABLE fan_out_request ADD COLUMN accept_gone boolean NOT NULL DEFAULT false
;
-- Bytes on the wire; `bytes` are the decompressed ones. Counts by reason, as an object.
ALTER TABLE run ADD COLUMN wire_bytes bigint
;
ALTER TABLE run ADD COLUMN set_aside_reasons jsonb
;
ALTER TABLE run ADD COLUMN warning_reasons jsonb
;
