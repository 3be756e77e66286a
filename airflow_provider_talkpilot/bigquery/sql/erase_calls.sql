{% from '_rows.sql' import in_interval, is_gone with context -%}
-- Empty the rows of calls that are gone from TalkPilot: they lose all personal data.
UPDATE `{{ target }}` AS T
SET
{%- for column in personal_columns %}
  {{ column.name }} = {{ 'IF(TRUE, [], T.%s)' % column.name if column.mode == 'REPEATED' else 'NULL' }},
{%- endfor %}
  -- If a call comes back, its detail is requested again.
  detail_updated_at = NULL,
  detail_synced_at = NULL,
  erased_at = TIMESTAMP '{{ erased_at }}'
WHERE {{ in_interval() }}
  AND {{ is_gone() }}
  AND T.id NOT IN (SELECT id FROM `{{ staging }}`)
