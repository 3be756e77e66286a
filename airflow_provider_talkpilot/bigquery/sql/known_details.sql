-- Which versions of which calls of the interval have their detail in the target, and what it has. That
-- of a purged call has nothing but the score: with that of its record, its detail is known. A record
-- without a score spares no detail: TalkPilot does not say that the two are the same.
SELECT
  id,
  detail_updated_at,
  COALESCE(detail_synced_at, synced_at) AS known_since,
  final_score IS NOT NULL AS scored,
  ARRAY_LENGTH(transcript) > 0 OR transcript_raw IS NOT NULL OR IFNULL(is_purged, FALSE)
    AS transcribed,
{%- if has_recordings %}
  IFNULL(recording_status, 'failed') != 'failed' AS recorded,
  recording_archived_at IS NOT NULL AS archived
{%- else %}
  FALSE AS recorded,
  FALSE AS archived
{%- endif %}
FROM `{{ target }}`
WHERE created_at >= TIMESTAMP '{{ start }}'
  AND created_at < TIMESTAMP '{{ end }}'
  AND (detail_synced_at IS NOT NULL OR (is_purged AND final_score IS NOT NULL))
  AND erased_at IS NULL
