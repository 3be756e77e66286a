{% from '_rows.sql' import
    newest_staged_rows, same_call_in_interval, staged_is_newer, forgets_nothing_forgotten,
    without, members, members_of, object_of
    with context -%}
{%- set detail_is_newer =
    'T.detail_synced_at IS NULL OR S.detail_synced_at >= T.detail_synced_at' -%}
{%- set before = members(without('T.extra', list_drift + detail_drift)) -%}
{%- set now = members('S.unknown') -%}
{%- set of_detail = 'IF(%s, %s, %s)'
    % (detail_is_newer, members('S.detail_drift'), members_of('T.extra', detail_drift)) -%}
-- Details into the target: of two details of a call the one read later wins, and what else the row
-- says changes only where the detail is the newer.
MERGE `{{ target }}` AS T
USING {{ newest_staged_rows(
  key_columns + list_columns + detail_columns + ['detail_found'], ['drift', 'detail_drift']
) }} AS S
ON {{ same_call_in_interval() }}
WHEN MATCHED
  AND S.detail_found
  AND {{ forgets_nothing_forgotten() }}
THEN UPDATE SET
{%- for column in list_columns if column != 'extra' %}
  {{ column }} = IF({{ staged_is_newer() }}, S.{{ column }}, T.{{ column }}),
{%- endfor %}
  -- A list row can have unknown fields that the detail lacks; a purge leaves none behind. A value
  -- that did not fit goes with the row that brought it.
  extra = CASE
    WHEN IFNULL(S.is_purged, FALSE) AND NOT IFNULL(T.is_purged, FALSE) THEN S.extra
    WHEN {{ staged_is_newer() }} THEN {{ object_of([
      'COALESCE(%s, %s)' % (now, before), members('S.drift'), of_detail
    ]) }}
    ELSE {{ object_of([
      'COALESCE(%s, %s)' % (before, now), members_of('T.extra', list_drift), of_detail
    ]) }}
  END,
{%- for column in detail_columns %}
  {{ column }} = IF({{ detail_is_newer }}, S.{{ column }}, T.{{ column }}),
{%- endfor %}
  erased_at = (NULL)
-- TalkPilot has no detail of this version: note when it was requested.
WHEN MATCHED AND NOT S.detail_found AND T.erased_at IS NULL THEN UPDATE SET
  detail_updated_at = S.detail_updated_at,
  detail_synced_at = S.detail_synced_at
WHEN NOT MATCHED AND S.detail_found THEN
  INSERT ({{ (key_columns + list_columns + detail_columns) | join(', ') }})
  VALUES (S.{{ (key_columns + list_columns + detail_columns) | join(', S.') }})
