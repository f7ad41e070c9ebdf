-- +goose Up
CREATE TABLE clusters (
    name TEXT PRIMARY KEY,
    id   TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE positions (
    cluster  TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    epoch    INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (cluster, kind)
) WITHOUT ROWID;

-- removed is in microseconds since 1970. document is JSON.
CREATE TABLE records (
    id        INTEGER PRIMARY KEY,
    cluster   TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    uid       TEXT    NOT NULL,
    epoch     INTEGER NOT NULL,
    revision  INTEGER NOT NULL,
    removed   INTEGER NOT NULL,
    namespace TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    node      TEXT    NOT NULL,
    code      TEXT    NOT NULL,
    class     TEXT    NOT NULL,
    document  TEXT    NOT NULL
);

CREATE UNIQUE INDEX records_uid ON records (cluster, uid);
CREATE INDEX records_time ON records (cluster, kind, removed, uid);
CREATE INDEX records_namespace ON records (cluster, namespace, removed, uid);
CREATE INDEX records_name ON records (cluster, name, removed);
CREATE INDEX records_node ON records (cluster, node, removed);
CREATE INDEX records_code ON records (cluster, code, removed);
CREATE INDEX records_removed ON records (removed);

CREATE TABLE terms (
    term   TEXT    NOT NULL,
    record INTEGER NOT NULL,
    PRIMARY KEY (term, record)
) WITHOUT ROWID;
CREATE INDEX terms_record ON terms (record);
