-- One row for each request that a worker answered: what a bill is made of. Rows are removed after some weeks
-- (`--usage-days`); the totals stay. Times are seconds since 1970 (UTC).

CREATE TABLE requests (
    -- The gateway's own name for the request, its X-Request-ID: a UUIDv7.
    id                TEXT PRIMARY KEY NOT NULL,
    key_id            TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    -- 32 bytes: SHA-256 of the request's public salt, which a worker's receipt names, too. Not unique: clients choose salts.
    -- NULL where the body was not sealed as a whole.
    exchange          BLOB,
    model             TEXT NOT NULL,
    status            INTEGER NOT NULL,
    prompt_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cached_tokens     INTEGER NOT NULL,
    audio_seconds     INTEGER NOT NULL,
    -- In units of 16 KiB.
    audio_bytes       INTEGER NOT NULL,
    ended_at          INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX requests_by_time ON requests (ended_at);
