{#- For views that show the name of a call's agent. -#}

{%- macro agent_name() -%}
{{ 'listed_name AS agent_name' if has_agents else 'CAST(NULL AS STRING) AS agent_name' }}
{%- endmacro -%}

{%- macro with_agents() -%}
{%- if has_agents %}
LEFT JOIN (
  SELECT A.id AS agent_id, ANY_VALUE(A.name) AS listed_name
  FROM `{{ target.agents }}` AS A
  GROUP BY agent_id
) AS agents USING (agent_id)
{%- endif -%}
{%- endmacro -%}
