{% from '_agents.sql' import agent_name, with_agents with context -%}
-- One row for each day (UTC) and agent, of the live calls.
-- Filter on day: BigQuery then reads only those days' partitions.
SELECT
  DATE(created_at) AS day,
  agent_id,
  {{ 'ANY_VALUE(listed_name) AS agent_name' if has_agents else agent_name() }},
  COUNT(*) AS calls,
  SAFE_DIVIDE(COUNTIF(general_success), COUNT(general_success)) AS success_rate,
  AVG(duration) AS average_duration,
  APPROX_QUANTILES(duration, 100)[OFFSET(90)] AS p90_duration,
  COUNTIF(disconnection_reason = 'call_transfer') AS transfers,
  AVG(final_score) AS average_score,
  COUNTIF(ARRAY_LENGTH(transcript) > 0 OR transcript_raw != '') / COUNT(*)
    AS transcript_share
FROM `{{ target }}`{{ with_agents() }}
WHERE deleted_at IS NULL
  AND erased_at IS NULL
GROUP BY day, agent_id
