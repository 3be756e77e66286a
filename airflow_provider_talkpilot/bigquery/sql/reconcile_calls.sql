{% from '_rows.sql' import in_interval, is_gone with context -%}
-- The walk beside the target, by agent: calls in both, calls that the target lacks, calls that are
-- gone from TalkPilot, and calls that the target got from somewhere else since the walk began.
SELECT
  IFNULL(S.agent_id, T.agent_id) AS agent_id,
  COUNTIF(S.id IS NOT NULL) AS staged,
  COUNTIF(S.id IS NOT NULL AND T.id IS NOT NULL AND NOT T.is_erased) AS live,
  COUNTIF(S.id IS NOT NULL AND T.id IS NULL) AS missing,
  COUNTIF(S.id IS NULL AND T.is_gone) AS gone,
  COUNTIF(S.id IS NULL AND NOT T.is_gone AND NOT T.is_erased) AS others
FROM (
  SELECT
    T.id,
    T.agent_id,
    T.erased_at IS NOT NULL AS is_erased,
    {{ is_gone() }} AS is_gone
  FROM `{{ target }}` AS T
  WHERE {{ in_interval() }}
    AND T.agent_id IN UNNEST(@walked_agents)
) AS T
FULL JOIN (SELECT DISTINCT id, agent_id FROM `{{ staging }}`) AS S
  ON S.id = T.id
GROUP BY 1
ORDER BY 1
