{#- How list rows change the rows of the target: the newest row of a call wins. Details stay, unless
    a purge empties them.

    compare.sql and merge.sql read one such file for each kind of parts. It defines, where S is a staged row
    and T the target's row of the same call:
      staged_columns, own_columns: what is read of S, and what is made of it
      may_insert, inserted_columns: whether S is inserted if there is no T, and with which columns
      may_change(), updated_columns: whether S may change T, and which of its columns
      new_value(column): what an updated column gets
      extra_changes(): whether extra changes; none if it never changes alone -#}
{%- from '_shared.sql' import
    staged_is_newer, brings_nothing_back, fields, object_of, extra_of, drift_in_table
    with context -%}
{%- set staged_columns = key_columns + list_columns + ['drift'] -%}
{%- set own_columns
    = {'list_extra': 'extra', 'extra': object_of([fields('extra'), fields('drift')])} -%}
{%- set inserted_columns = key_columns + list_columns + ['list_extra'] -%}
{#- A call can move to another agent, and its start can be corrected. -#}
{%- set updated_columns
    = ['agent_id', 'created_at'] + list_columns
    + ['transcript', 'transcript_raw', 'transcript_source', 'turns'] + recording_columns
    + ['detail_updated_at', 'detail_synced_at', 'erased_at', 'list_extra', 'detail_extra'] -%}
{%- set may_insert = 'TRUE' -%}
{%- set list_extra_differs
    = '%s IS DISTINCT FROM %s' % (fields('S.list_extra'), fields('T.list_extra')) -%}

{#- If the detail of a version was loaded first, its time is later than the list row's, and it lacks what
    the list row alone has. -#}
{%- macro may_change() -%}
{{ brings_nothing_back() }}
  AND ({{ staged_is_newer() }} OR (
    T.synced_at = T.detail_synced_at
    AND T.updated_at = S.updated_at
    AND IFNULL(T.is_purged, FALSE) = IFNULL(S.is_purged, FALSE)
    AND {{ list_extra_differs }}
  ))
{%- endmacro -%}

{%- macro extra_changes() -%}
{{ list_extra_differs }}
    OR {{ fields('S.drift') }} IS DISTINCT FROM {{ drift_in_table }}
{%- endmacro -%}

{%- macro new_value(column) -%}
{%- if column == 'detail_extra' -%}
IF(IFNULL(S.is_purged, FALSE) AND NOT IFNULL(T.is_purged, FALSE), NULL, T.detail_extra)
{%- elif column == 'extra' -%}
{{ extra_of('S.list_extra', new_value('detail_extra'), fields('S.drift')) }}
{%- elif column == 'updated_at' -%}
{#- A detail can have an updated_at that the list row lacks. -#}
COALESCE(S.updated_at, T.updated_at)
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
