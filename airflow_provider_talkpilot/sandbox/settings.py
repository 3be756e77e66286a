"""Every setting of the sandbox, in one model that may change while it runs."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from airflow_provider_talkpilot.sandbox.calls.times import MomentForm
from airflow_provider_talkpilot.sandbox.eras import (
    ERAS,
    BasePath,
    Era,
    HiddenAgentStatus,
    Recordings,
    Switches,
    Webhooks,
    Windows,
)

Bound = Literal["exclusive", "inclusive"]

DEFAULT_START = dt.date(2026, 3, 16)
"""Default first day of the data: fixed, so that two runs make the same data."""

READ_PERMISSIONS = ("agents:read", "calls:read", "performance:read")


def fake_api_key(name: object) -> str:
    """Return a made-up key in TalkPilot's shape; the same name makes the same key."""
    return "tp_live_" + hashlib.sha256(f"talkpilot-sandbox:{name}".encode()).hexdigest()[:32]


class ApiKey(BaseModel):
    """What one API key may do.

    :param active: whether the key works; one that was switched off gets a 401.
    :param expires_at: from this moment on the key gets a 401; None never expires.
    :param permissions: for example ``["agents:read", "calls:read"]``; a missing one gets a 403.
    :param allowed_agent_ids: agents that the key can see; None is all. For other agents it gets
        ``hidden_agent_status``.
    """

    model_config = ConfigDict(validate_assignment=True, extra="forbid")

    active: bool = True
    expires_at: dt.datetime | None = None
    permissions: list[str] = Field(default_factory=lambda: list(READ_PERMISSIONS))
    allowed_agent_ids: list[str] | None = None

    def is_valid(self, now: float) -> bool:
        """Whether the key is active and not expired at ``now`` (Unix seconds)."""
        if not self.active:
            return False
        if self.expires_at is None:
            return True
        expires_at = self.expires_at
        if expires_at.tzinfo is None:
            expires_at = expires_at.replace(tzinfo=dt.UTC)
        return now < expires_at.timestamp()


class SandboxSettings(BaseModel):
    """How the sandbox behaves. An assignment is checked, and takes effect at the next request.

    The state of the API:

    :param era: ``now`` is the API as documented since September 2026, ``spring`` as documented in
        March 2026. The era sets each switch below that is None.
    :param windows: ``sliding`` counts the requests of the last minute and of the last hour,
        ``fixed`` those of the current minute and hour. Sliding, ``X-RateLimit-Reset`` is always
        a minute away, and ``Retry-After`` always a whole minute or hour.
    :param full_agents: whether agents show the fields that spring did not have, such as
        ``organization_id`` and ``retention_days``.
    :param hidden_agent_status: the response for an agent outside of the key's list: 403 with the
        code ``AGENT_NOT_ACCESSIBLE``, or 404 as for one that does not exist.
    :param retention_purges: whether :meth:`CallStore.purge_by_retention` purges.
    :param decimal_scores: whether ``final_score`` may have a fraction (7.5).
    :param more_reasons: whether ``disconnection_reason`` may be unknown, busy, no_answer or
        dial_error.
    :param recordings: whether ``audio_file_url`` is ``signed`` at every request and expires, or
        ``stored`` once, without a signature.
    :param base_path: path of ``base_url``; the sandbox serves the API at both paths.
    :param full_health: whether ``GET /health`` has ``commit`` and ``deployed_at``.
    :param performance_records: whether ``GET /agents/{id}/performance`` exists.
    :param webhooks: ``call_ended`` has a list of turns and is tried three times;
        ``call.completed`` has the transcript in a text and is tried once.

    The data (they take effect at the next ``reset()``):

    :param seed: same settings and seed, same data.
    :param days: how many days from ``start``, or the days themselves.
    :param start: first day (UTC) if ``days`` is a number; None is 2026-03-16.
    :param calls_per_day: calls a day of all agents together.
    :param agents: how many agents.
    :param unparsable_transcripts: how many calls have a transcript that is not JSON.

    Access and rate limits:

    :param api_keys: the keys; an empty dict makes one valid key from the seed.
    :param requests_per_minute: per key; None is unlimited (the headers have 1,000,000).
    :param requests_per_hour: per key; None is unlimited.
    :param minute_seconds: length of the "minute" in seconds, shorter for fast tests.
    :param hour_seconds: length of the "hour" in seconds.
    :param refused_requests_count: whether a request that gets a 429 uses up quota.
    :param rate_headers: whether responses have ``X-RateLimit-*``.
    :param retry_after_override: value of ``Retry-After`` instead of the right one.

    What the vendor does not document, or may change:

    :param from_bound: whether lists include a call exactly at ``from``.
    :param to_bound: whether lists include a call exactly at ``to``.
    :param false_lists_null: whether ``done=false`` lists calls whose ``done`` is null.
    :param beyond_end: status of a page beyond the end of a list; 200 is an empty page.
    :param list_has_updated_at: whether list rows have ``updated_at``.
    :param detail_has_updated_at: whether details have ``updated_at``.
    :param purge_reaches_performance: whether a purged call's performance record loses the caller's
        number and the extracted variables.
    :param performance_score_shift: how much higher a performance record's score is than its call's;
        None makes records without a score.
    :param extra_list_fields: added to every list row: unknown fields, or values of another type
        for known ones, such as ``{"duration": 12.5}``. ``edit`` does it for a single call.
    :param extra_detail_fields: added to every detail, likewise.
    :param moment_form: how timestamps are written: as by JavaScript (``iso``), Postgres or Python.
    :param transcript_form: ``text`` is JSON in a string, ``array`` and ``object`` are JSON itself.
    :param transcript_role: the agent's role in transcripts.
    :param transcript_times: whether messages have ``time_sec``.
    :param transcript_tools: whether transcripts have a tool call and its result.
    :param webhook_secret: signs webhooks; None sends them unsigned.
    :param webhook_headers: whether the headers have a signature, the secret itself, or both.
    :param webhooks_started: whether ``call_started`` comes before ``call_ended``.

    Faults:

    :param latency_seconds: pause before every response of the API.
    :param random_fault_rate: share of API requests (0 to 1) that meet a random fault, at most two
        in a row.
    :param random_fault_seed: same seed and order of requests, same faults.
    :param audio_url_seconds: how long a signed ``audio_file_url`` works.
    :param webhooks_lost: share of calls (0 to 1) whose webhook never arrives.
    :param webhooks_repeated: share of calls whose webhook comes three times.
    :param webhooks_forged: share of calls with a second webhook: a wrong transcript, signed with a
        guessed secret.
    :param webhooks_old: share of calls with a second webhook: a wrong transcript, whose signature
        is right and an hour old.
    :param recording_bytes: size of a recording. ``faults`` of the kind ``audio`` slow, cut or
        redirect recordings.
    :param dead_recording_every: every n-th stored address is dead; 0 is none.
    """

    model_config = ConfigDict(validate_assignment=True, extra="forbid")

    era: Era = "now"
    windows: Windows | None = None
    full_agents: bool | None = None
    hidden_agent_status: HiddenAgentStatus | None = None
    retention_purges: bool | None = None
    decimal_scores: bool | None = None
    more_reasons: bool | None = None
    recordings: Recordings | None = None
    base_path: BasePath | None = None
    full_health: bool | None = None
    performance_records: bool | None = None
    webhooks: Webhooks | None = None

    seed: int = 1
    days: int | list[dt.date] = 7
    start: dt.date | None = None
    calls_per_day: int = Field(default=40, ge=0)
    agents: int = Field(default=2, ge=0, le=1000)
    unparsable_transcripts: int = Field(default=1, ge=0)

    api_keys: dict[str, ApiKey] = Field(default_factory=dict)
    requests_per_minute: int | None = Field(default=60, ge=0)
    requests_per_hour: int | None = Field(default=1000, ge=0)
    minute_seconds: float = Field(default=60.0, gt=0)
    hour_seconds: float = Field(default=3600.0, gt=0)
    refused_requests_count: bool = False
    rate_headers: bool = True
    retry_after_override: int | None = None

    from_bound: Bound = "exclusive"
    to_bound: Bound = "exclusive"
    false_lists_null: bool = False
    beyond_end: Literal[200, 400, 404, 416] = 200
    list_has_updated_at: bool = True
    detail_has_updated_at: bool = True
    purge_reaches_performance: bool = True
    performance_score_shift: float | None = 0.0
    extra_list_fields: dict[str, Any] = Field(default_factory=dict)
    extra_detail_fields: dict[str, Any] = Field(default_factory=dict)
    moment_form: MomentForm = "iso"
    transcript_form: Literal["text", "array", "object"] = "text"
    transcript_role: Literal["agent", "assistant"] = "agent"
    transcript_times: bool = False
    transcript_tools: bool = False
    webhook_secret: str | None = None
    webhook_headers: Literal["signature", "secret", "both"] = "both"
    webhooks_started: bool = True

    latency_seconds: float = Field(default=0.0, ge=0)
    random_fault_rate: float = Field(default=0.0, ge=0, le=1)
    random_fault_seed: int = 1
    audio_url_seconds: float = 3600.0
    recording_bytes: int = Field(default=844, ge=44)
    dead_recording_every: int = Field(default=5, ge=0)
    webhooks_lost: float = Field(default=0.0, ge=0, le=1)
    webhooks_repeated: float = Field(default=0.0, ge=0, le=1)
    webhooks_forged: float = Field(default=0.0, ge=0, le=1)
    webhooks_old: float = Field(default=0.0, ge=0, le=1)

    def model_post_init(self, context: Any, /) -> None:
        """Make one valid key if there is none."""
        if not self.api_keys:
            self.api_keys[fake_api_key(self.seed)] = ApiKey()

    @property
    def switches(self) -> Switches:
        """The value of every switch: its own if it is set, else the era's."""
        names = [field.name for field in dataclasses.fields(Switches)]
        own = {name: value for name in names if (value := getattr(self, name)) is not None}
        return dataclasses.replace(ERAS[self.era], **own)

    def patch(self, **changes: Any) -> None:
        """Change several settings at once; if one is wrong, none changes."""
        checked = SandboxSettings.model_validate({**self.model_dump(), **changes})
        for name in changes:
            setattr(self, name, getattr(checked, name))

    def dates(self) -> list[dt.date]:
        """Return the days of the data, in order."""
        if isinstance(self.days, list):
            return sorted(set(self.days))
        first = self.start or DEFAULT_START
        return [first + dt.timedelta(days=n) for n in range(self.days)]
