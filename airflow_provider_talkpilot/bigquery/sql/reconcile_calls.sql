{% from '_rows.sql' import in_interval, is_gone with context -%}
-- The walk beside the target, by agent: calls in both, calls that the target lacks, calls that are
-- gone from TalkPilot (apart those that the target last saw in the trash), calls that the target got
-- from somewhere else since the walk began, and calls whose purge the target does not know yet.
SELECT
  IFNULL(S.agent_id, T.agent_id) AS agent_id,
  COUNTIF(S.id IS NOT NULL) AS staged,
  COUNTIF(S.id IS NOT NULL AND T.id IS NOT NULL AND NOT T.is_erased) AS live,
  COUNTIF(S.id IS NOT NULL AND T.id IS NULL) AS missing,
  COUNTIF(S.id IS NULL AND T.is_gone AND NOT T.was_in_trash) AS gone,
  COUNTIF(S.id IS NULL AND T.is_gone AND T.was_in_trash) AS gone_from_trash,
  COUNTIF(S.id IS NULL AND NOT T.is_gone AND NOT T.is_erased) AS others,
  COUNTIF(S.is_purged AND (T.id IS NULL OR NOT T.is_purged)) AS purged
FROM (
  SELECT
    T.id,
    T.agent_id,
    T.erased_at IS NOT NULL AS is_erased,
    T.deleted_at IS NOT NULL AS was_in_trash,
    IFNULL(T.is_purged, FALSE) AS is_purged,
    {{ is_gone() }} AS is_gone
  FROM `{{ target }}` AS T
  WHERE {{ in_interval() }}
    AND T.agent_id IN UNNEST(@walked_agents)
) AS T
FULL JOIN (
  SELECT id, agent_id, LOGICAL_OR(IFNULL(is_purged, FALSE)) AS is_purged
  FROM `{{ staging }}`
  GROUP BY id, agent_id
) AS S
  ON S.id = T.id
GROUP BY 1
ORDER BY 1
