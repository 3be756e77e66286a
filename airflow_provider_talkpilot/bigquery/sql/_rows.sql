{#- What both merges share: one row a call, and which of two rows of a call is the newer. -#}

{%- macro newest_staged_rows() -%}
(
  SELECT *
  FROM `{{ staging }}`
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY id ORDER BY updated_at DESC NULLS LAST, synced_at DESC
  ) = 1
)
{%- endmacro -%}

{%- macro same_call_in_interval() -%}
T.id = S.id
  AND T.created_at >= TIMESTAMP '{{ start }}'
  AND T.created_at < TIMESTAMP '{{ end }}'
{%- endmacro -%}

{#- Where TalkPilot gives no updated_at, the row read later is the newer. -#}
{%- macro staged_is_newer() -%}
IF(
    S.updated_at IS NULL OR T.updated_at IS NULL OR S.updated_at = T.updated_at,
    S.synced_at >= T.synced_at,
    S.updated_at > T.updated_at
  )
{%- endmacro -%}

{#- What TalkPilot purged or erased never comes back from something read before. -#}
{%- macro forgets_nothing_forgotten() -%}
(IFNULL(S.is_purged, FALSE) OR NOT IFNULL(T.is_purged, FALSE))
  AND (T.erased_at IS NULL OR S.synced_at > T.erased_at)
{%- endmacro -%}
