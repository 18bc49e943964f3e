-- Audio is limited and billed by its size: answers that are plain text or subtitles say no duration.
ALTER TABLE usage_totals ADD COLUMN audio_bytes INTEGER NOT NULL DEFAULT 0;
