{#- How list rows change the rows of the target: the newest row of a call wins. Details stay, unless
    a purge empties them.

    compare.sql and merge.sql read one such file for each kind of parts. It defines, where S is a staged row
    and T the target's row of the same call:
      staged_columns, drift_columns: what is read of S; the latter hold the values that did not fit
      may_insert, inserted_columns: whether S is inserted if there is no T, and with which columns
      may_change(), updated_columns: whether S may change T, and which of its columns
      new_value(column): what an updated column gets
      extra_changes(): whether extra changes; none if it never changes alone -#}
{%- from '_shared.sql' import
    staged_is_newer, brings_nothing_back, without, united, members, members_of, object_of
    with context -%}
{%- set inserted_columns = key_columns + list_columns -%}
{%- set staged_columns = inserted_columns -%}
{%- set drift_columns = ['drift'] -%}
{#- A call can move to another agent, and its start can be corrected. -#}
{%- set updated_columns
    = ['agent_id', 'created_at'] + list_columns
    + ['transcript', 'transcript_raw', 'transcript_source', 'turns'] + recording_columns
    + ['detail_updated_at', 'detail_synced_at', 'erased_at'] -%}
{%- set may_insert = 'TRUE' -%}
{%- set unknown_in_table = without('T.extra', list_drift + detail_drift) -%}
{%- set unknown_in_staging = without('S.unknown', detail_drift) -%}

{%- macro may_change() -%}
{{ brings_nothing_back() }}
  AND {{ staged_is_newer() }}
{%- endmacro -%}

{#- If the row has a detail, a difference of extra alone is no change, unless the target's extra is null. -#}
{%- macro extra_changes() -%}
IF(
      T.detail_synced_at IS NULL,
      TO_JSON_STRING(T.extra) IS DISTINCT FROM TO_JSON_STRING(S.extra),
      T.extra IS NULL AND COALESCE({{ members(unknown_in_staging) }}, {{ members('S.drift') }}) IS NOT NULL
    )
{%- endmacro -%}

{%- macro new_value(column) -%}
{%- if column == 'updated_at' -%}
{#- A detail can have an updated_at that the list row lacks. -#}
COALESCE(S.updated_at, T.updated_at)
{%- elif column == 'extra' -%}
{#- Unknown fields that only the detail has stay, because it is not requested again. A value that did
    not fit goes with the row that brought it. -#}
CASE
    WHEN IFNULL(S.is_purged, FALSE) AND NOT IFNULL(T.is_purged, FALSE) THEN S.extra
    WHEN T.detail_synced_at IS NULL THEN S.extra
    ELSE {{ object_of([
      united(unknown_in_staging, unknown_in_table),
      members('S.drift'),
      members_of('T.extra', detail_drift),
    ]) }}
  END
{%- elif column in ('transcript', 'turns') -%}
IF(IFNULL(S.is_purged, FALSE), [], T.{{ column }})
{%- elif column in ['transcript_raw', 'transcript_source'] + recording_columns -%}
IF(IFNULL(S.is_purged, FALSE), NULL, T.{{ column }})
{%- elif column == 'detail_updated_at' -%}
{#- After a purge the detail counts as known: it is not requested again. -#}
IF(
    IFNULL(S.is_purged, FALSE) AND T.detail_synced_at IS NOT NULL,
    COALESCE(S.updated_at, T.updated_at), T.detail_updated_at
  )
{%- elif column == 'detail_synced_at' -%}
{#- A call in the trash may have had no detail: if it is restored, the detail is requested again. -#}
IF(
    T.deleted_at IS NOT NULL AND S.deleted_at IS NULL AND T.final_score IS NULL
      AND NOT IFNULL(S.is_purged, FALSE),
    NULL, T.detail_synced_at
  )
{%- elif column == 'erased_at' -%}
CAST(NULL AS TIMESTAMP)
{%- else -%}
S.{{ column }}
{%- endif -%}
{%- endmacro -%}
