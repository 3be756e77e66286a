{% from '_performance.sql' import around, calls_around, emptied with context -%}
{%- set columns = performance_columns | rejectattr('name', 'in', ['purged_at']) | list -%}

{#- A row of a record without the times of our own clock. JSON values cannot be compared themselves. -#}
{%- macro content(table) -%}
TO_JSON_STRING(STRUCT(
{%- for column in columns if column.name != 'synced_at' %}
    {{ table }}.{{ column.name }}{{ ',' if not loop.last }}
{%- endfor %}
  ))
{%- endmacro -%}
-- Bring performance records into their table and their scores into the target: both or none.
BEGIN TRANSACTION;

-- Every load changes this row: loads run one after the other.
UPDATE `{{ target.lock }}` SET loads = loads + 1 WHERE TRUE;
{%- if keeps_scores %}

-- A call that has no score, or has the former score of its record, gets the score of its record. A
-- score that came with the detail stays: TalkPilot does not say that the two are always the same.
MERGE `{{ target }}` AS T
USING (
  SELECT
    R.agent_id,
    R.call_id,
    R.final_result.final_score AS score,
    B.final_result.final_score AS score_before
  FROM `{{ staging }}` AS R
  LEFT JOIN `{{ target.performance }}` AS B
    ON B.id = R.id
    AND B.created_at >= TIMESTAMP '{{ start }}'
    AND B.created_at < TIMESTAMP '{{ end }}'
  WHERE R.call_id IS NOT NULL
    AND R.final_result.final_score IS NOT NULL
  -- Of two records of a call the later one counts.
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY R.agent_id, R.call_id ORDER BY R.created_at DESC, R.synced_at DESC, R.id
  ) = 1
) AS S
ON T.agent_id = S.agent_id
  AND T.call_id = S.call_id
  AND {{ around('T', 1) }}
WHEN MATCHED
  AND T.erased_at IS NULL
  AND (T.final_score IS NULL OR (T.final_score = S.score_before AND T.final_score != S.score))
THEN UPDATE SET final_score = S.score;
{%- endif %}

-- Of two rows of a record the one that was read later wins. A row that says the same is not written
-- again: a re-read of an unchanged day resets no partition's long-term price. A record keeps its
-- personal data only if the target has its call, live and not purged; it keeps its call_id if the call
-- is not gone.
MERGE `{{ target.performance }}` AS T
USING (
  SELECT
{%- for column in columns %}
    {% if column.name == 'call_id' -%}
    L.call_id,
    {%- elif column in personal_performance_columns -%}
    IF(L.keeps_personal_data, R.{{ column.name }}, {{ emptied('R', column) }}) AS {{ column.name }},
    {%- else -%}
    R.{{ column.name }},
    {%- endif %}
{%- endfor %}
    IF(L.keeps_personal_data, NULL, R.synced_at) AS purged_at
  FROM (
    SELECT *
    FROM `{{ staging }}`
    WHERE TRUE
    QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY synced_at DESC) = 1
  ) AS R
  LEFT JOIN {{ calls_around(1) }} AS L
    ON L.call_id = R.call_id
) AS S
ON T.id = S.id
  AND T.created_at >= TIMESTAMP '{{ start }}'
  AND T.created_at < TIMESTAMP '{{ end }}'
WHEN MATCHED
  AND S.synced_at >= T.synced_at
  AND ((S.purged_at IS NULL) != (T.purged_at IS NULL) OR {{ content('S') }} != {{ content('T') }})
THEN UPDATE SET
{#- A record moves with its call to another agent, and its start can be corrected. -#}
{%- for column in columns if column.name != 'id' %}
  {{ column.name }} = S.{{ column.name }},
{%- endfor %}
  purged_at = IF(S.purged_at IS NULL, NULL, COALESCE(T.purged_at, S.purged_at))
WHEN NOT MATCHED THEN
  INSERT ({{ performance_columns | map(attribute='name') | join(', ') }})
  VALUES (S.{{ performance_columns | map(attribute='name') | join(', S.') }});

COMMIT TRANSACTION;
