{% from '_rows.sql' import in_interval, is_gone with context -%}
-- Calls that are gone from TalkPilot: their rows stay and lose all that tells of a person.
UPDATE `{{ target }}` AS T
SET
{%- for column in personal_columns %}
  {{ column.name }} = {{ 'IF(TRUE, [], T.%s)' % column.name if column.mode == 'REPEATED' else 'NULL' }},
{%- endfor %}
  -- Should a call come back, its detail is asked for again.
  detail_updated_at = NULL,
  detail_synced_at = NULL,
  erased_at = TIMESTAMP '{{ erased_at }}'
WHERE {{ in_interval() }}
  AND {{ is_gone() }}
  AND T.id NOT IN (SELECT id FROM `{{ staging }}`)
