{% from '_shared.sql' import
    in_interval, is_gone, newest_first, newest_staged_rows, changes, not_compared with context -%}
{% import '_' ~ kind ~ '.sql' as rules with context -%}
{% set columns = rules.staged_columns | reject('in', not_compared) | list -%}
-- Compare what is staged (S) with the target (T), and count by agent what a merge must do. The class
-- Comparison in reconcile.py describes each count.
SELECT
  IFNULL(S.agent_id, T.agent_id) AS agent_id,
  COUNTIF(S.id IS NOT NULL) AS staged,
  COUNTIF(S.id IS NOT NULL AND T.id IS NOT NULL AND T.erased_at IS NULL) AS live,
  COUNTIF(T.id IS NULL AND {{ rules.may_insert }}) AS missing,
  COUNTIF(S.id IS NOT NULL AND T.id IS NOT NULL AND {{ changes(rules) }}) AS differing,
  SUM(IFNULL(T.duplicates, 0)) AS duplicates,
  COUNTIF(S.id IS NULL AND T.is_gone AND T.deleted_at IS NULL) AS gone,
  COUNTIF(S.id IS NULL AND T.is_gone AND T.deleted_at IS NOT NULL) AS gone_from_trash,
  COUNTIF(
    S.id IS NULL AND NOT T.is_gone AND T.erased_at IS NULL
    AND T.agent_id IN UNNEST(@walked_agents)
  ) AS loaded_since,
  COUNTIF(S.is_purged AND NOT IFNULL(T.is_purged, FALSE)) AS purged,
  COUNTIF(T.recording_archived_at IS NOT NULL AND IF(
    S.id IS NULL, T.is_gone, S.is_purged AND NOT IFNULL(T.is_purged, FALSE)
  )) AS recordings_to_delete,
  COUNTIF(T.is_purged OR T.erased_at IS NOT NULL) AS emptied_before,
  COUNTIF(S.id IS NOT NULL AND T.erased_at IS NOT NULL AND {{ changes(rules) }}) AS reappeared
FROM (
  SELECT
    {{ (key_columns + list_columns + detail_columns + ['erased_at'])
      | reject('in', not_compared) | join(', ') }},
    {{ is_gone('@whole_agents') }} AS is_gone,
    COUNT(*) OVER (PARTITION BY T.id) - 1 AS duplicates
  FROM `{{ target }}` AS T
  WHERE {{ in_interval() }}
  QUALIFY ROW_NUMBER() OVER (
    {{ newest_first() }}
  ) = 1
) AS T
FULL JOIN {{ newest_staged_rows(columns, rules.drift_columns) }} AS S
  ON S.id = T.id
GROUP BY 1
ORDER BY 1
