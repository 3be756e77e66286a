-- Recordings that were kept long enough, by the start of their calls.
SELECT id, agent_id, created_at, recording_uri AS uri
FROM `{{ target }}`
WHERE created_at < TIMESTAMP '{{ began_before }}'
  AND recording_uri IS NOT NULL
  AND recording_archived_at < TIMESTAMP '{{ archived_before }}'
