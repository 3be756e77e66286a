{% from '_performance.sql' import around with context -%}
-- Which versions of which calls of the interval have their detail in the target, and what it has.
SELECT
  id,
  detail_updated_at,
  detail_synced_at,
  final_score IS NOT NULL
{%- if has_performance %}
    -- Its score comes with its record.
    OR call_id IN (
      SELECT P.call_id FROM `{{ performance }}` AS P
      WHERE {{ around('P', 1) }} AND P.call_id IS NOT NULL
    )
{%- endif %} AS scored,
  ARRAY_LENGTH(transcript) > 0 OR transcript_raw IS NOT NULL OR IFNULL(is_purged, FALSE)
    AS transcribed
FROM `{{ target }}`
WHERE created_at >= TIMESTAMP '{{ start }}'
  AND created_at < TIMESTAMP '{{ end }}'
  AND detail_synced_at IS NOT NULL
  AND erased_at IS NULL
