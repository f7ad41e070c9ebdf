-- +goose Up
-- What records are counted by besides. A column that may be NULL is added without writing the
-- table anew, and an older program goes on writing beside it. fingerprint is NULL where nobody has
-- read it from the document yet: whoever opens the archive does, of nodes. seconds and gpu_seconds
-- are for how long a pod held what it requested; NULL where that is not known.
ALTER TABLE records ADD COLUMN fingerprint text, ADD COLUMN seconds bigint, ADD COLUMN gpu_seconds bigint;

CREATE INDEX records_unread ON records (cluster) WHERE fingerprint IS NULL AND kind = 'Node';
