-- The agents and days, within the intervals, of which the target has calls that are neither purged nor
-- erased.
SELECT DISTINCT agent_id, DATE(created_at, 'UTC') AS day
FROM `{{ target }}`
-- One range over all intervals: a table that requires a filter accepts none inside an OR.
WHERE created_at >= TIMESTAMP '{{ (intervals | map(attribute="start") | min).date() }} 00:00:00+00'
  AND created_at < TIMESTAMP '{{ (intervals | map(attribute="end") | max).date() }} 00:00:00+00'
  AND NOT IFNULL(is_purged, FALSE)
  AND erased_at IS NULL
  AND (
{%- for interval in intervals %}
    {{ 'OR ' if not loop.first }}(
      created_at >= TIMESTAMP '{{ interval.start.date() }} 00:00:00+00'
      AND created_at < TIMESTAMP '{{ interval.end.date() }} 00:00:00+00'
      AND agent_id IN UNNEST(@agents_{{ loop.index0 }})
    )
{%- endfor %}
  )
ORDER BY 2, 1
