{% from '_agents.sql' import agent_name, with_agents with context -%}
-- Live calls: neither soft-deleted nor erased.
-- Filter on created_at: BigQuery then reads only those days' partitions.
SELECT
{%- for column in columns %}
  `{{ column }}`,
{%- endfor %}
  {{ agent_name() }}
FROM `{{ target }}`{{ with_agents() }}
WHERE deleted_at IS NULL
  AND erased_at IS NULL
