{% from '_shared.sql' import in_interval, is_gone, newest_staged_rows, brings_nothing_back
    with context -%}
{% set of_details = ['recording_uri'] if kind == 'details' else [] -%}
-- Calls whose recordings must be deleted before the merge empties their rows: calls that are purged or
-- gone. Staged details can also have a recording that was archived after the row was emptied. If there
-- is an archive, it can have recordings of rows that are empty already: a killed task may have archived
-- one after its purge was loaded.
SELECT
  IFNULL(T.id, S.id) AS id,
  IFNULL(T.agent_id, S.agent_id) AS agent_id,
  IFNULL(T.created_at, S.created_at) AS created_at,
  {{ 'IFNULL(T.recording_uri, S.recording_uri)' if of_details else 'T.recording_uri' }} AS uri
FROM (
  SELECT id, agent_id, created_at, is_purged, erased_at, synced_at, recording_uri
  FROM `{{ target }}` AS T
  WHERE {{ in_interval() }}
) AS T
FULL JOIN {{ newest_staged_rows(key_columns + ['is_purged', 'synced_at'] + of_details, []) }} AS S
  ON S.id = T.id
WHERE (S.is_purged AND NOT IFNULL(T.is_purged, FALSE))
{%- if of_details %}
  OR (S.recording_uri IS NOT NULL AND T.id IS NOT NULL AND NOT ({{ brings_nothing_back() }}))
{%- endif %}
{%- if archive %}
  OR T.is_purged
  OR (T.erased_at IS NOT NULL AND S.id IS NULL)
{%- endif %}
  OR (
    S.id IS NULL
    AND {{ is_gone('@whole_agents') }}
    -- Another load of the same walk may have emptied the staging table: that proves nothing.
    AND {{ staged_rows }} = (SELECT COUNT(*) FROM `{{ staging }}`)
  )
ORDER BY 2, 3
