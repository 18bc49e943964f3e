-- Keys and their usage. Times are seconds since 1970 (UTC).

-- Facts about the database itself: `pepper` (32 bytes mixed into every key hash) and `key_generation`.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) WITHOUT ROWID;

INSERT INTO meta (name, value) VALUES ('key_generation', 0);

CREATE TABLE api_keys (
    id           TEXT PRIMARY KEY NOT NULL,
    name         TEXT NOT NULL,
    prefix       TEXT NOT NULL,
    hash         BLOB NOT NULL UNIQUE,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at   INTEGER
) WITHOUT ROWID;

-- Whoever changes which keys are valid, also by hand with another tool, moves the generation;
-- running gateways poll that one number and read the keys again when it has moved.
CREATE TRIGGER api_keys_added AFTER INSERT ON api_keys BEGIN
    UPDATE meta SET value = value + 1 WHERE name = 'key_generation';
END;

CREATE TRIGGER api_keys_changed AFTER UPDATE OF hash, revoked_at ON api_keys BEGIN
    UPDATE meta SET value = value + 1 WHERE name = 'key_generation';
END;

CREATE TRIGGER api_keys_removed AFTER DELETE ON api_keys BEGIN
    UPDATE meta SET value = value + 1 WHERE name = 'key_generation';
END;

-- What a key has used of a model, for good: a revoked key keeps its row.
CREATE TABLE usage_totals (
    key_id            TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    model             TEXT NOT NULL,
    requests          INTEGER NOT NULL DEFAULT 0,
    prompt_tokens     INTEGER NOT NULL DEFAULT 0,
    completion_tokens INTEGER NOT NULL DEFAULT 0,
    cached_tokens     INTEGER NOT NULL DEFAULT 0,
    audio_seconds     INTEGER NOT NULL DEFAULT 0,
    last_used_at      INTEGER NOT NULL,
    PRIMARY KEY (key_id, model)
) WITHOUT ROWID;
