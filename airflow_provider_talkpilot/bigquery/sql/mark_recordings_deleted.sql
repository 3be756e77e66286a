-- Note in their rows that old recordings were deleted.
BEGIN TRANSACTION;

-- Every load changes this row: loads run one after the other.
UPDATE `{{ target.lock }}` SET loads = loads + 1 WHERE TRUE;

UPDATE `{{ target }}`
SET recording_uri = NULL, recording_status = 'deleted'
WHERE created_at < TIMESTAMP '{{ began_before }}'
  AND recording_uri IS NOT NULL
  AND recording_archived_at < TIMESTAMP '{{ archived_before }}';

COMMIT TRANSACTION;
