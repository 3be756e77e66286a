-- When the first of the target's calls before a day started.
SELECT MIN(created_at) AS earliest
FROM `{{ target }}`
WHERE created_at < TIMESTAMP '{{ end }} 00:00:00+00'
