-- The start of the first call in the target, of the calls before a day.
SELECT MIN(created_at) AS earliest
FROM `{{ target }}`
WHERE created_at < TIMESTAMP '{{ end }} 00:00:00+00'
