-- Insert or update agents that are new or have changed. Agents that left the list stay, as their calls
-- do.
MERGE `{{ target.agents }}` AS T
USING (
  SELECT
    JSON_VALUE(record, '$.id') AS id,
    JSON_VALUE(record, '$.organization_id') AS organization_id,
    JSON_VALUE(record, '$.name') AS name,
    TIMESTAMP(COALESCE(
      JSON_VALUE(record, '$.valid_from'), JSON_VALUE(record, '$.synced_at')
    )) AS valid_from,
    PARSE_JSON(JSON_QUERY(record, '$.settings')) AS settings,
    JSON_VALUE(record, '$.prompt') AS prompt,
    JSON_VALUE(record, '$.greeting') AS greeting,
    TIMESTAMP(JSON_VALUE(record, '$.synced_at')) AS synced_at
  FROM UNNEST(@agents) AS record
) AS S
ON T.id = S.id
WHEN MATCHED AND S.synced_at >= T.synced_at THEN UPDATE SET
{%- for column in agent_columns if column != 'id' %}
  {{ column }} = S.{{ column }}{{ ',' if not loop.last }}
{%- endfor %}
WHEN NOT MATCHED THEN
  INSERT ({{ agent_columns | join(', ') }})
  VALUES (S.{{ agent_columns | join(', S.') }})
