-- +goose Up
-- The order in which revisions were stored: archive.Feed. Whoever stores records of a cluster holds
-- the cluster's lock from before it takes numbers until it has committed (Put): so nobody sees a
-- number of that cluster before all lower ones. Numbers of other clusters lie between them.
--
-- The numbers are a default, since a replica of an older version may still write, and is to number
-- what it writes. The column may be null for the same reason: that version's staged_records is LIKE
-- records, which takes NOT NULL over, but no default.
CREATE SEQUENCE changes;
ALTER TABLE records ADD COLUMN change bigint DEFAULT 0; -- what was stored before
ALTER TABLE records ALTER COLUMN change SET DEFAULT nextval('changes');
CREATE INDEX records_change ON records (cluster, change, uid);

CREATE TABLE receivers (
    cluster text   NOT NULL,
    name    text   NOT NULL,
    change  bigint NOT NULL,
    uid     text   NOT NULL,
    PRIMARY KEY (cluster, name)
);
