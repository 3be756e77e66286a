{% from '_performance.sql' import around, calls_around, emptied with context -%}
{%- set columns = personal_performance_columns -%}
-- Empty the personal data of records whose calls are purged or gone. If a call is gone, its record
-- loses its call_id too.
MERGE `{{ target.performance }}` AS T
USING (
  SELECT
    R.id,
{%- for column in columns %}
    {{ 'L.call_id' if column.name == 'call_id' else '%s AS %s' % (emptied('R', column), column.name) }},
{%- endfor %}
    COALESCE(R.purged_at, TIMESTAMP '{{ purged_at }}') AS purged_at
  FROM `{{ target.performance }}` AS R
  LEFT JOIN {{ calls_around(2) }} AS L
    ON L.call_id = R.call_id
  WHERE {{ around('R', 1) }}
    AND R.call_id IS NOT NULL
    AND (L.call_id IS NULL OR (NOT L.keeps_personal_data AND R.purged_at IS NULL))
  -- A merge fails if two rows of S have one id: a record can be there twice.
  QUALIFY ROW_NUMBER() OVER (PARTITION BY R.id ORDER BY R.synced_at DESC) = 1
) AS S
ON T.id = S.id
  AND {{ around('T', 1) }}
WHEN MATCHED THEN UPDATE SET
{%- for column in columns %}
  {{ column.name }} = S.{{ column.name }},
{%- endfor %}
  purged_at = S.purged_at
