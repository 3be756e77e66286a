-- When the first of the target's calls before the interval's end started.
SELECT MIN(created_at) AS earliest
FROM `{{ target }}`
WHERE created_at < TIMESTAMP '{{ end }}'
