-- +goose Up
-- The order in which revisions were stored: archive.Feed. 0 is what was stored before.
CREATE TABLE changes (last INTEGER NOT NULL);
INSERT INTO changes (last) VALUES (0);
ALTER TABLE records ADD COLUMN change INTEGER NOT NULL DEFAULT 0;
CREATE INDEX records_change ON records (cluster, change, uid);

CREATE TABLE receivers (
    cluster TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    change  INTEGER NOT NULL,
    uid     TEXT    NOT NULL,
    PRIMARY KEY (cluster, name)
) WITHOUT ROWID;
