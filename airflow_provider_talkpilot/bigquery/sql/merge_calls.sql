{% from '_rows.sql' import
    newest_staged_rows, same_call_in_interval, staged_is_newer, forgets_nothing_forgotten,
    without, members, members_of, object_of
    with context -%}
{%- set before = members(without('T.extra', list_drift + detail_drift)) -%}
{%- set now = members(without('S.unknown', detail_drift)) -%}
-- List rows into the target: the newest row of a call wins, its details stay as they are, and a
-- purge empties them.
MERGE `{{ target }}` AS T
USING {{ newest_staged_rows(key_columns + list_columns, ['drift']) }} AS S
ON {{ same_call_in_interval() }}
WHEN MATCHED
  AND {{ forgets_nothing_forgotten() }}
  AND {{ staged_is_newer() }}
THEN UPDATE SET
{%- for column in list_columns if column not in ('updated_at', 'extra') %}
  {{ column }} = S.{{ column }},
{%- endfor %}
  -- A detail can have updated_at, and unknown fields, where the list does not. A value that did
  -- not fit goes with the row that brought it.
  updated_at = COALESCE(S.updated_at, T.updated_at),
  extra = CASE
    WHEN IFNULL(S.is_purged, FALSE) AND NOT IFNULL(T.is_purged, FALSE) THEN S.extra
    WHEN T.detail_synced_at IS NULL THEN S.extra
    ELSE {{ object_of([
      'IF(S.updated_at > T.updated_at, COALESCE(%s, %s), COALESCE(%s, %s))'
        % (now, before, before, now),
      members('S.drift'),
      members_of('T.extra', detail_drift),
    ]) }}
  END,
  transcript = IF(IFNULL(S.is_purged, FALSE), [], T.transcript),
  transcript_raw = IF(IFNULL(S.is_purged, FALSE), NULL, T.transcript_raw),
  -- What a purge leaves of a detail is known: it is not requested again.
  detail_updated_at = IF(
    IFNULL(S.is_purged, FALSE) AND T.detail_synced_at IS NOT NULL,
    COALESCE(S.updated_at, T.updated_at), T.detail_updated_at
  ),
  erased_at = (NULL)
WHEN NOT MATCHED THEN
  INSERT ({{ (key_columns + list_columns) | join(', ') }})
  VALUES (S.{{ (key_columns + list_columns) | join(', S.') }})
