-- The rows of recordings that were deleted, for they were kept long enough.
BEGIN TRANSACTION;

-- As every load into the target does: they wait for each other.
UPDATE `{{ target.lock }}` SET loads = loads + 1 WHERE TRUE;

UPDATE `{{ target }}`
SET recording_uri = NULL, recording_status = 'deleted'
WHERE created_at < TIMESTAMP '{{ before }}'
  AND recording_uri IS NOT NULL
  AND recording_archived_at < TIMESTAMP '{{ now }}';

COMMIT TRANSACTION;
