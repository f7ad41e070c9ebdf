-- +goose Up
CREATE TABLE clusters (
    name text PRIMARY KEY,
    id   text NOT NULL
);

CREATE TABLE positions (
    cluster  text   NOT NULL,
    kind     text   NOT NULL,
    epoch    bigint NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (cluster, kind)
);

-- One partition a month, made as records of it arrive. The parts of what is found by exact words
-- that have no column are in terms: archive.Record.Terms.
CREATE TABLE records (
    cluster   text        NOT NULL,
    kind      text        NOT NULL,
    uid       text        NOT NULL,
    epoch     bigint      NOT NULL,
    revision  bigint      NOT NULL,
    removed   timestamptz NOT NULL,
    namespace text        NOT NULL,
    name      text        NOT NULL,
    node      text        NOT NULL,
    code      text        NOT NULL,
    class     text        NOT NULL,
    terms     text[]      NOT NULL,
    document  jsonb       NOT NULL,
    PRIMARY KEY (cluster, uid, removed)
) PARTITION BY RANGE (removed);

CREATE INDEX records_time ON records (cluster, kind, removed, uid);
CREATE INDEX records_namespace ON records (cluster, namespace, removed, uid);
CREATE INDEX records_name ON records (cluster, name, removed);
CREATE INDEX records_node ON records (cluster, node, removed);
CREATE INDEX records_code ON records (cluster, code, removed);
CREATE INDEX records_terms ON records USING gin (terms);
