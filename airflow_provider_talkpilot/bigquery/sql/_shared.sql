{%- from '_performance.sql' import around with context -%}
{#- Shared by the statements on calls: the newest row of each call, which row is newer, what is gone. -#}

{#- A JSON object without some of its fields; null if it is null. -#}
{%- macro without(json, columns) -%}
IF({{ json }} IS NULL, NULL, {{ 'JSON_REMOVE(' * columns | length }}{{ json }}
{%- for column in columns %}, '$.{{ column }}'){% endfor %})
{%- endmacro -%}

{#- The fields of a JSON object as a text, without its braces; null if it has none. -#}
{%- macro members(json) -%}
REGEXP_EXTRACT(TO_JSON_STRING({{ json }}), r'^\{(.+)\}$')
{%- endmacro -%}

{#- The fields of two JSON objects as such a text; of two with one name the first object's. JSON_KEYS
    quotes a name that has a dot, a quote or a backslash. -#}
{%- macro united(first, second) -%}
(
      SELECT NULLIF(ARRAY_TO_STRING([{{ members('newer') }}, (
        SELECT STRING_AGG(TO_JSON_STRING(name) || ':' || TO_JSON_STRING(older[name]), ',')
        FROM (
          SELECT IF(STARTS_WITH(key, '"'), JSON_VALUE(key, '$'), key) AS name
          FROM UNNEST(JSON_KEYS(older, 1)) AS key
        )
        WHERE newer[name] IS NULL
      )], ','), '')
      FROM (SELECT {{ first }} AS newer, {{ second }} AS older)
    )
{%- endmacro -%}

{#- The same for some of its fields that are not null; an empty text if it has none of them. -#}
{%- macro members_of(json, columns) -%}
ARRAY_TO_STRING([
{%- for column in columns %}
      '"{{ column }}":' || NULLIF(TO_JSON_STRING({{ json }}['{{ column }}']), 'null')
      {{- ',' if not loop.last }}
{%- endfor %}
    ], ',')
{%- endmacro -%}

{#- A JSON object made of fields; null if there are none.
    texts: the members of objects that have no field in common. -#}
{%- macro object_of(texts) -%}
PARSE_JSON('{' || NULLIF(SUBSTR(
{%- for text in texts %}
      {{ '|| ' if not loop.first }}IFNULL(',' || NULLIF({{ text }}, ''), '')
{%- endfor %}
    , 2), '') || '}')
{%- endmacro -%}

{#- A comparison does not read these columns, most of a table's bytes: they never change alone. -#}
{%- set not_compared = ['transcript', 'transcript_raw', 'transcript_source', 'turns']
    + ['recording_uri', 'recording_bytes', 'recording_sha256', 'recording_type'] -%}

{#- The score of each call's last performance record, for details that lack a score. -#}
{%- macro record_scores() -%}
(
    SELECT
      P.agent_id AS record_agent,
      P.call_id AS record_call,
      P.final_result.final_score AS record_score
    FROM `{{ target.performance }}` AS P
    WHERE {{ around('P', 1) }}
      AND P.final_result.final_score IS NOT NULL
    QUALIFY ROW_NUMBER() OVER (
      PARTITION BY P.agent_id, P.call_id ORDER BY P.created_at DESC, P.synced_at DESC, P.id
    ) = 1
  )
{%- endmacro -%}

{#- The newest staged row of each call. Its extra is what the target's extra gets: unknown fields, and
    values that do not fit. Its unknown has the unknown fields alone; drift and detail_drift have the values
    that do not fit. -#}
{%- macro newest_staged_rows(columns, drift) -%}
{%- set scores = 'final_score' in columns and has_performance -%}
{%- set same = (columns + drift) | reject('in', ['extra', 'final_score'] if scores else ['extra']) -%}
{%- set texts = [members('extra')] -%}
{%- for column in drift %}{% set _ = texts.append(members(column)) %}{% endfor -%}
(
  SELECT
    {{ same | join(', ') }},
{%- if scores %}
    COALESCE(final_score, record_score) AS final_score,
{%- endif %}
    {{ object_of(texts) }} AS extra,
    extra AS unknown
  FROM `{{ staging }}`
{%- if scores %}
  LEFT JOIN {{ record_scores() }}
    ON record_agent = agent_id
    AND record_call = call_id
{%- endif %}
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY id ORDER BY updated_at DESC NULLS LAST, synced_at DESC
  ) = 1
)
{%- endmacro -%}

{#- The order of several rows of one call in the target: the first is kept. -#}
{%- macro newest_first() -%}
PARTITION BY T.id
    ORDER BY
      IFNULL(T.is_purged, FALSE) DESC, T.updated_at DESC NULLS LAST,
      T.detail_synced_at DESC NULLS LAST, T.synced_at DESC
{%- endmacro -%}

{#- Constants, because BigQuery skips partitions only by constants. A row without an id, which only
    other software inserts, is no call. -#}
{%- macro in_interval() -%}
T.created_at >= TIMESTAMP '{{ start }}'
  AND T.created_at < TIMESTAMP '{{ end }}'
  AND T.id IS NOT NULL
{%- endmacro -%}

{#- Whether TalkPilot no longer has a call that the walk lacks. A row that was read after the walk began
    proves nothing, nor does a row of an agent whose walk was not staged whole. -#}
{%- macro is_gone(whole_agents) -%}
T.erased_at IS NULL
  AND T.synced_at < TIMESTAMP '{{ read_before }}'
  AND T.agent_id IN UNNEST({{ whole_agents }})
{%- endmacro -%}

{#- If a row has no updated_at, the row that was read later is the newer one. -#}
{%- macro staged_is_newer() -%}
IF(
    S.updated_at IS NULL OR T.updated_at IS NULL OR S.updated_at = T.updated_at,
    S.synced_at >= T.synced_at,
    S.updated_at > T.updated_at
  )
{%- endmacro -%}

{#- What TalkPilot purged or erased never comes back from a row that was read before. -#}
{%- macro brings_nothing_back() -%}
(IFNULL(S.is_purged, FALSE) OR NOT IFNULL(T.is_purged, FALSE))
  AND (T.erased_at IS NULL OR S.synced_at > T.erased_at)
{%- endmacro -%}

{#- Whether a staged row S changes the target's row T. A later synced_at alone is no change: otherwise
    each run would write the whole day again.
    rules: _calls.sql or _details.sql. -#}
{%- macro changes(rules) -%}
{{ rules.may_change() }}
  AND (
{%- for column in rules.updated_columns if column not in not_compared + ['extra', 'synced_at'] %}
    {{ 'OR ' if not loop.first }}T.{{ column }} IS DISTINCT FROM {{ rules.new_value(column) }}
{%- endfor %}
{%- if rules.extra_changes %}
    OR {{ rules.extra_changes() }}
{%- endif %}
  )
{%- endmacro -%}
