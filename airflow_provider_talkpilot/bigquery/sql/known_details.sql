-- Which versions of which calls of the interval have their detail in the target.
SELECT id, detail_updated_at, detail_synced_at, final_score IS NOT NULL AS scored
FROM `{{ target }}`
WHERE created_at >= TIMESTAMP '{{ start }}'
  AND created_at < TIMESTAMP '{{ end }}'
  AND detail_synced_at IS NOT NULL
  AND erased_at IS NULL
