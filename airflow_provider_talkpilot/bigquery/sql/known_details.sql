{% from '_performance.sql' import around with context -%}
{%- set scored -%}
final_score IS NOT NULL
{%- if has_performance %}
    -- Its score comes with its record.
    OR call_id IN (
      SELECT P.call_id FROM `{{ performance }}` AS P
      WHERE {{ around('P', 1) }} AND P.call_id IS NOT NULL
    )
{%- endif %}
{%- endset -%}
-- Which versions of which calls of the interval have their detail in the target, and what it has. That
-- of a purged call has nothing but the score: with a score from elsewhere, its detail is known.
SELECT
  id,
  detail_updated_at,
  COALESCE(detail_synced_at, synced_at) AS known_since,
  {{ scored }} AS scored,
  ARRAY_LENGTH(transcript) > 0 OR transcript_raw IS NOT NULL OR IFNULL(is_purged, FALSE)
    AS transcribed,
{%- if has_recordings | default(true) %}
  IFNULL(recording_status, 'failed') != 'failed' AS recorded,
  recording_archived_at IS NOT NULL AS archived
{%- else %}
  FALSE AS recorded,
  FALSE AS archived
{%- endif %}
FROM `{{ target }}`
WHERE created_at >= TIMESTAMP '{{ start }}'
  AND created_at < TIMESTAMP '{{ end }}'
  AND (detail_synced_at IS NOT NULL OR (is_purged AND ({{ scored }})))
  AND erased_at IS NULL
