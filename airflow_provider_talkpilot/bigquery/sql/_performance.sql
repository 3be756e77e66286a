{#- Shared by the statements on performance records. A record belongs to the call of the same call_id. It
    may be written after its call, and be in the next interval: so calls are looked for a day around. -#}

{%- macro around(table, days) -%}
{{ table }}.created_at >= TIMESTAMP_SUB(TIMESTAMP '{{ start }}', INTERVAL {{ days }} DAY)
  AND {{ table }}.created_at < TIMESTAMP_ADD(TIMESTAMP '{{ end }}', INTERVAL {{ days }} DAY)
{%- endmacro -%}

{#- The calls that TalkPilot has, and whether their records keep personal data. -#}
{%- macro calls_around(days) -%}
(
  SELECT C.call_id, LOGICAL_AND(NOT IFNULL(C.is_purged, FALSE)) AS keeps_personal_data
  FROM `{{ target }}` AS C
  WHERE {{ around('C', days) }}
    AND C.call_id IS NOT NULL
    AND C.erased_at IS NULL
  GROUP BY C.call_id
)
{%- endmacro -%}

{#- A column without its personal data; of arrays and structs the other fields stay. -#}
{%- macro emptied(table, column) -%}
{%- if column.is_personal -%}
CAST(NULL AS {{ column.type }})
{%- elif column.is_repeated -%}
ARRAY(
    SELECT AS STRUCT {% for field in column.fields -%}
      {{ 'CAST(NULL AS %s)' % field.type if field.is_personal else 'part.%s' % field.name }} AS {{ field.name }}
      {{- ', ' if not loop.last }}
    {%- endfor %}
    FROM UNNEST({{ table }}.{{ column.name }}) AS part WITH OFFSET AS place
    ORDER BY place
  )
{%- elif column.fields -%}
IF({{ table }}.{{ column.name }} IS NULL, NULL, STRUCT(
    {%- for field in column.fields -%}
      {{ 'CAST(NULL AS %s)' % field.type if field.is_personal else '%s.%s.%s' % (table, column.name, field.name) }} AS {{ field.name }}
      {{- ', ' if not loop.last }}
    {%- endfor %}))
{%- else -%}
{{ table }}.{{ column.name }}
{%- endif -%}
{%- endmacro -%}
