{%- from '_performance.sql' import around with context -%}
{#- Shared by the statements on calls: the newest row of each call, which row is newer, what is gone. -#}

{#- The fields of a JSON object as a text without braces, in the order of their names; null if it has
    none. JSON_KEYS quotes a name that has a dot, a quote or a backslash.
    condition: on key, a name as JSON_KEYS returns it. -#}
{%- macro fields(json, condition='TRUE') -%}
(
      SELECT STRING_AGG(TO_JSON_STRING(name) || ':' || TO_JSON_STRING({{ json }}[name]), ',' ORDER BY name)
      FROM (
        SELECT IF(STARTS_WITH(key, '"'), JSON_VALUE(key, '$'), key) AS name
        FROM UNNEST(JSON_KEYS({{ json }}, 1)) AS key
        WHERE {{ condition }}
      )
    )
{%- endmacro -%}

{#- A JSON object made of such texts, which have no name in common; null if there are none. -#}
{%- macro object_of(texts) -%}
PARSE_JSON('{' || NULLIF(SUBSTR(
{%- for text in texts %}
      {{ '|| ' if not loop.first }}IFNULL(',' || {{ text }}, '')
{%- endfor %}
    , 2), '') || '}')
{%- endmacro -%}

{#- What extra gets: the unknown fields of the list row and of the detail, of two with one name the list
    row's; and the values that did not fit the list's columns. -#}
{%- macro extra_of(list, detail, drift) -%}
(
    SELECT {{ object_of([
      fields('list_side'),
      fields('detail_side', 'key NOT IN UNNEST(IFNULL(JSON_KEYS(list_side, 1), []))'),
      'drift_side',
    ]) }}
    FROM (SELECT {{ list }} AS list_side, {{ detail }} AS detail_side, {{ drift }} AS drift_side)
  )
{%- endmacro -%}

{#- The values of extra that did not fit the list's columns. -#}
{%- set drift_in_table = fields('T.extra', "key IN ('%s')" % list_drift | join("', '")) -%}

{#- A comparison does not read these columns, most of a table's bytes: they never change alone. -#}
{%- set not_compared = ['transcript', 'transcript_raw', 'transcript_source', 'turns']
    + ['recording_uri', 'recording_bytes', 'recording_sha256', 'recording_type'] -%}

{%- set extra_columns = ['extra', 'list_extra', 'detail_extra'] -%}

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

{#- The newest staged row of each call. Its own columns are those that it adds to the staging table's:
    list_extra, detail_extra and extra are what a new row of the target gets. -#}
{%- macro newest_staged_rows(columns, own={}) -%}
{%- set scores = 'final_score' in columns and has_performance -%}
{%- set own = dict(own, final_score='COALESCE(final_score, record_score)') if scores else own -%}
(
  SELECT
    {{ columns | reject('in', own) | join(', ') }}
{%- for column, value in own.items() %},
    {{ value }} AS {{ column }}
{%- endfor %}
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
{%- for column in rules.updated_columns if column not in not_compared + extra_columns + ['synced_at'] %}
    {{ 'OR ' if not loop.first }}T.{{ column }} IS DISTINCT FROM {{ rules.new_value(column) }}
{%- endfor %}
{%- if rules.extra_changes %}
    OR {{ rules.extra_changes() }}
{%- endif %}
  )
{%- endmacro -%}
