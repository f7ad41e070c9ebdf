-- +goose Up
-- What records are counted by besides. An older program goes on writing without these columns.
-- fingerprint is NULL where nobody has read it from the document yet: whoever opens the archive
-- does, of nodes. seconds and gpu_seconds are for how long a pod held what it requested; NULL where
-- that is not known.
ALTER TABLE records ADD COLUMN fingerprint TEXT;
ALTER TABLE records ADD COLUMN seconds INTEGER;
ALTER TABLE records ADD COLUMN gpu_seconds INTEGER;

CREATE INDEX records_unread ON records (id) WHERE fingerprint IS NULL AND kind = 'Node';
