{#- How details change the target's rows: of two details of a call the one that was read later wins. The
    other columns change only if the staged row is newer. If TalkPilot has no detail of a version, the row
    gets the time of the request. -#}
{%- from '_shared.sql' import
    staged_is_newer, brings_nothing_back, without, united, members, members_of, object_of
    with context -%}
{%- set inserted_columns = key_columns + list_columns + detail_columns -%}
{%- set staged_columns = inserted_columns + ['detail_found'] -%}
{%- set drift_columns = ['drift', 'detail_drift'] -%}
{%- set updated_columns = list_columns + detail_columns + ['erased_at'] -%}
{%- set may_insert = 'S.detail_found' -%}
{%- set row_is_newer = '(S.detail_found AND %s)' % staged_is_newer() -%}
{%- set detail_is_newer =
    '(T.detail_synced_at IS NULL OR S.detail_synced_at >= T.detail_synced_at)' -%}
{%- set found_newer = '(S.detail_found AND %s)' % detail_is_newer -%}
{%- set recording_is_newer = 'IF(S.recording_archived_at IS NULL OR T.recording_archived_at IS NULL,
      S.recording_archived_at IS NOT NULL
        OR (T.recording_archived_at IS NULL AND S.recording_status IS NOT NULL AND %s),
      S.recording_archived_at > T.recording_archived_at)' % detail_is_newer -%}
{%- set unknown_in_table = without('T.extra', list_drift + detail_drift) -%}
{%- set of_detail = 'IF(%s, %s, %s)'
    % (detail_is_newer, members('S.detail_drift'), members_of('T.extra', detail_drift)) -%}

{%- macro may_change() -%}
IF(S.detail_found, {{ brings_nothing_back() }}, T.erased_at IS NULL)
{%- endmacro -%}

{#- It never changes alone. -#}
{%- set extra_changes = none -%}

{%- macro new_value(column) -%}
{%- if column == 'extra' -%}
{#- A staged detail has the unknown fields of its list row too. A value that did not fit leaves with
    the row that brought it. -#}
CASE
    WHEN NOT S.detail_found THEN T.extra
    WHEN IFNULL(S.is_purged, FALSE) AND NOT IFNULL(T.is_purged, FALSE) THEN S.extra
    ELSE {{ object_of([
      'IF(%s, %s, %s)'
        % (staged_is_newer(), members('S.unknown'), united(unknown_in_table, 'S.unknown')),
      'IF(%s, %s, %s)' % (staged_is_newer(), members('S.drift'), members_of('T.extra', list_drift)),
      of_detail,
    ]) }}
  END
{%- elif column == 'erased_at' -%}
CAST(NULL AS TIMESTAMP)
{%- elif column in recording_columns -%}
{#- An archived recording stays until a purge, whatever a later detail says of it. -#}
CASE
    WHEN S.detail_found AND IFNULL(S.is_purged, FALSE) THEN NULL
    WHEN {{ recording_is_newer }} THEN S.{{ column }}
    ELSE T.{{ column }}
  END
{%- elif column == 'turns' -%}
{#- Only webhooks send turns: a detail that is requested later keeps them, unless it was purged. -#}
IF({{ found_newer }} AND (ARRAY_LENGTH(S.turns) > 0 OR IFNULL(S.is_purged, FALSE)), S.turns, T.turns)
{%- elif column in ('detail_updated_at', 'detail_synced_at') -%}
IF({{ detail_is_newer }}, S.{{ column }}, T.{{ column }})
{%- else -%}
IF({{ found_newer if column in detail_columns else row_is_newer }}, S.{{ column }}, T.{{ column }})
{%- endif -%}
{%- endmacro -%}
