-- The calls of the interval whose detail the target has, with the version and what the detail had. The
-- detail of a purged call has only the score: if a performance record brought that, the detail counts as
-- known. Other calls need their detail, though a record may have no score and the call one.
SELECT
  id,
  detail_updated_at,
  COALESCE(detail_synced_at, synced_at) AS requested_at,
  final_score IS NOT NULL AS scored,
  ARRAY_LENGTH(transcript) > 0 OR IFNULL(transcript_raw, '') != '' OR IFNULL(is_purged, FALSE)
    AS transcribed,
{%- if has_recordings %}
  IFNULL(recording_status, 'failed') != 'failed' AS recording_known,
  recording_archived_at IS NOT NULL AS archived
{%- else %}
  FALSE AS recording_known,
  FALSE AS archived
{%- endif %}
FROM `{{ target }}`
WHERE created_at >= TIMESTAMP '{{ start }}'
  AND created_at < TIMESTAMP '{{ end }}'
  AND (detail_synced_at IS NOT NULL OR (is_purged AND final_score IS NOT NULL))
  AND erased_at IS NULL
