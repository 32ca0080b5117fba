-- What reading needs: indexes of the search, what the public log of changes shows, and the key that
-- cursors are signed with. Written for PostgreSQL; `script.rs` maps what SQLite has another way.
-- One statement ends at each line that is just a semicolon.

-- 32 random bytes that all processes of the API share.
ALTER TABLE dataset ADD COLUMN secret bytea
;
-- Whether the event had never been sold online after this change, so that the public log leaves it
-- out; and whether with this change it was so for the first time although it was known before, so that
-- the public log shows it as created. The release before this one writes neither.
ALTER TABLE event_change ADD COLUMN hidden boolean NOT NULL DEFAULT false
;
ALTER TABLE event_change ADD COLUMN revealed boolean NOT NULL DEFAULT false
;
UPDATE event_change SET hidden = true
    WHERE event_id IN (SELECT id FROM event WHERE NOT ever_online)
;
-- In the order of answers. What follows the first two columns lets filters be checked within the index.
CREATE INDEX event_search
    ON event (starts_at, id, coalesce(ends_at, starts_at), min_price, max_price, changed_at, sold_out, gone_at)
    WHERE ever_online
;
DROP INDEX event_by_start
;
CREATE INDEX event_of_provider ON event (provider_id, starts_at, id) WHERE ever_online
;
CREATE INDEX event_updated ON event (changed_at) WHERE ever_online
;
-- What is on at a time has started within a day before it, or is one of these.
CREATE INDEX event_long ON event (starts_at, id, ends_at) WHERE ever_online AND {long}
;
-- With the second column, events and gone ones are counted without a look at their rows.
DROP INDEX event_by_provider
;
CREATE INDEX event_by_provider ON event (provider_id, gone_at)
;
