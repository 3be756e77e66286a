-- Calls that live: neither soft-deleted nor erased.
-- Filter on created_at: BigQuery then reads only those days' partitions.
SELECT
{%- for column in columns %}
  `{{ column }}`{{ ',' if not loop.last }}
{%- endfor %}
FROM `{{ target }}`
WHERE deleted_at IS NULL
  AND erased_at IS NULL
