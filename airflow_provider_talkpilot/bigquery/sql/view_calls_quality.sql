{% from '_agents.sql' import agent_name, with_agents with context -%}
-- One row for each live call, with its performance record; of two records the later one.
-- Filter on created_at: BigQuery then reads only those days' partitions of the calls.
SELECT
  calls.id,
  calls.agent_id,
  {{ agent_name() }},
  calls.created_at,
  calls.duration,
  calls.general_success,
  calls.disconnection_reason,
  calls.final_score,
{%- if has_performance %}
  record.final_result.outcome_label,
  record.final_result.summary_reasoning,
{%- for column in quality_columns %}
  record.{{ column.name }},
{%- endfor %}
{%- for flag in red_flags %}
  record.{{ flag }}{{ ',' if not loop.last }}
{%- endfor %}
{%- else %}
  CAST(NULL AS STRING) AS outcome_label,
  CAST(NULL AS STRING) AS summary_reasoning,
{%- for column in quality_columns %}
  CAST(NULL AS {{ column.type }}) AS {{ column.name }},
{%- endfor %}
{%- for flag in red_flags %}
  CAST(NULL AS BOOL) AS {{ flag }}{{ ',' if not loop.last }}
{%- endfor %}
{%- endif %}
FROM `{{ target }}` AS calls{{ with_agents() }}
{%- if has_performance %}
LEFT JOIN (
  SELECT
    agent_id,
    call_id,
    final_result,
{%- for column in quality_columns %}
    {{ column.name }},
{%- endfor %}
{%- for flag in red_flags %}
    (SELECT LOGICAL_OR(IF(flag.name = '{{ flag }}', flag.detected, NULL)) FROM UNNEST(red_flags) AS flag)
      AS {{ flag }},
{%- endfor %}
    ROW_NUMBER() OVER (
      PARTITION BY agent_id, call_id ORDER BY created_at DESC, synced_at DESC, id
    ) AS place
  FROM `{{ target.performance }}`
) AS record
  ON record.call_id = calls.call_id
  AND record.agent_id = calls.agent_id
  AND record.place = 1
{%- endif %}
WHERE calls.deleted_at IS NULL
  AND calls.erased_at IS NULL
