{% from '_shared.sql' import in_interval, is_gone, newest_first, newest_staged_rows, changes
    with context -%}
{% import '_' ~ kind ~ '.sql' as rules with context -%}
{% set source = newest_staged_rows(rules.staged_columns, rules.drift_columns) -%}
-- Bring what is staged into the target: all of it or nothing.
BEGIN TRANSACTION;

-- Every load changes this row. If two loads run at the same time, BigQuery cancels one of them. Without
-- the row it would let two loads that only insert run side by side, and insert the same calls twice.
UPDATE `{{ target.lock }}` SET loads = loads + 1 WHERE TRUE;
{%- if duplicates %}

-- Of the rows of one call the newest stays.
CREATE TEMP TABLE kept AS
SELECT *
FROM `{{ target }}` AS T
WHERE {{ in_interval() }}
QUALIFY COUNT(*) OVER (PARTITION BY T.id) > 1 AND ROW_NUMBER() OVER (
    {{ newest_first() }}
  ) = 1;

DELETE FROM `{{ target }}` AS T
WHERE {{ in_interval() }}
  AND T.id IN (SELECT id FROM kept);

INSERT INTO `{{ target }}` SELECT * FROM kept;
{%- endif %}

UPDATE `{{ target }}` AS T
SET
{%- for column in rules.updated_columns %}
  {{ column }} = {{ rules.new_value(column) }}{{ ',' if not loop.last }}
{%- endfor %}
FROM {{ source }} AS S
WHERE T.id = S.id
  AND {{ in_interval() }}
  AND {{ changes(rules) }};

INSERT INTO `{{ target }}` ({{ rules.inserted_columns | join(', ') }})
SELECT S.{{ rules.inserted_columns | join(', S.') }}
FROM {{ source }} AS S
WHERE {{ rules.may_insert }}
  AND S.id NOT IN (
    SELECT T.id FROM `{{ target }}` AS T WHERE {{ in_interval() }}
  );
{%- if gone_agents %}

-- Calls that are gone from TalkPilot lose all personal data.
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
  AND {{ is_gone(gone_agents | tojson) }}
  AND T.id NOT IN (SELECT id FROM `{{ staging }}`)
  -- Another load of the same walk may have emptied the staging table: that proves nothing.
  AND {{ staged_rows }} = (SELECT COUNT(*) FROM `{{ staging }}`);
{%- endif %}

COMMIT TRANSACTION;
