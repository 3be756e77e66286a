-- One row for each message of the live calls; position is its place in the call.
-- Filter on created_at: BigQuery then reads only those days' partitions.
SELECT
  calls.id,
  calls.agent_id,
  calls.created_at,
  index AS position,
  message.role,
  message.text
FROM `{{ target }}` AS calls, UNNEST(calls.transcript) AS message WITH OFFSET AS index
WHERE calls.deleted_at IS NULL
  AND calls.erased_at IS NULL
