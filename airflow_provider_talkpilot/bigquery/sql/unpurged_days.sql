-- Agents and days, within the windows, of which the target has calls with personal data.
SELECT DISTINCT agent_id, DATE(created_at, 'UTC') AS day
FROM `{{ target }}`
-- One range over all windows, because a table that requires a filter takes none inside an OR.
WHERE created_at >= TIMESTAMP '{{ windows | map(attribute="first") | min }} 00:00:00+00'
  AND created_at < TIMESTAMP '{{ windows | map(attribute="end") | max }} 00:00:00+00'
  AND NOT IFNULL(is_purged, FALSE)
  AND erased_at IS NULL
  AND (
{%- for window in windows %}
    {{ 'OR ' if not loop.first }}(
      created_at >= TIMESTAMP '{{ window.first }} 00:00:00+00'
      AND created_at < TIMESTAMP '{{ window.end }} 00:00:00+00'
      AND agent_id IN UNNEST(@agents_{{ loop.index0 }})
    )
{%- endfor %}
  )
ORDER BY 2, 1
