"""The receiver's settings: who may deliver, and how much."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

SECRET, PATH_SECRET = "TALKPILOT_WEBHOOK_SECRET", "TALKPILOT_WEBHOOK_PATH_SECRET"
RATE, STAGING_URI = "TALKPILOT_WEBHOOK_RATE", "TALKPILOT_STAGING_URI"
"""Names of environment variables; ``_FILE`` after a secret's gives the file that has it."""

DEFAULT_RATE = 300
_CLOCKS_DIFFER_BY = 300
_TIMESTAMP = re.compile(r"\d{1,12}", re.ASCII)
_PATH_SECRET = re.compile(r"[A-Za-z0-9_-]{16,200}", re.ASCII)


class SettingsError(ValueError):
    """The receiver cannot start so; one line that names the cure."""


@dataclass(frozen=True)
class ReceiverSettings:
    """Who may deliver, and how much.

    :param secrets: TalkPilot's signing secret; several while it is replaced. Empty where TalkPilot
        signs nothing.
    :param path_secret: the last part of the address, where only that protects it. With both, a
        delivery needs both.
    :param rate: deliveries a second that are read at most, by one process.
    :raises SettingsError: with neither secret, or with one that is easily guessed.
    """

    secrets: tuple[str, ...] = field(default=(), repr=False)
    path_secret: str = field(default="", repr=False)
    rate: int = DEFAULT_RATE

    def __post_init__(self) -> None:
        if not self.secrets and not self.path_secret:
            raise SettingsError(
                f"No secret is given, so anybody could deliver: set {SECRET} to the one that "
                f"TalkPilot signs with, or {PATH_SECRET} where it signs nothing."
            )
        if self.path_secret and not _PATH_SECRET.fullmatch(self.path_secret):
            raise SettingsError(
                f"{PATH_SECRET} must be 16 to 200 letters, digits, - and _: make one with python "
                "-c 'import secrets; print(secrets.token_urlsafe(32))'."
            )
        if self.rate < 1:
            raise SettingsError(f"{RATE} must be at least 1 delivery a second.")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ReceiverSettings:
        """Read the settings.

        :param environment: :data:`SECRET` has a secret in each line.
        :raises SettingsError: when they are incomplete or wrong.
        """
        rate = environment.get(RATE) or str(DEFAULT_RATE)
        if not rate.isdecimal():
            raise SettingsError(f"{RATE} is no number of deliveries a second.")
        lines = (line.strip() for line in _secret(environment, SECRET).splitlines())
        return cls(
            tuple(line for line in lines if line), _secret(environment, PATH_SECRET), int(rate)
        )

    def admits_path(self, given: str) -> bool:
        """Whether the last part of an address is right."""
        return _is_any(given, [self.path_secret])

    def admits_headers(self, headers: Mapping[str, str], now: float) -> bool:
        """Whether headers can be those of a right delivery, before its body is read.

        :param headers: names in small letters.
        :param now: Unix time.
        """
        if not self.secrets:
            return True
        if "x-talkpilot-signature" in headers:
            timestamp = headers.get("x-talkpilot-timestamp", "")
            return bool(
                _TIMESTAMP.fullmatch(timestamp) and abs(now - int(timestamp)) <= _CLOCKS_DIFFER_BY
            )
        return _is_any(headers.get("x-talkpilot-secret", ""), self.secrets)

    def admits_body(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether the signature is that of the body; where there is none, the headers decided."""
        if not self.secrets or "x-talkpilot-signature" not in headers:
            return True
        signed = headers["x-talkpilot-timestamp"].encode() + b"." + body
        digests = (hmac.new(secret.encode(), signed, sha256) for secret in self.secrets)
        right = [f"sha256={digest.hexdigest()}" for digest in digests]
        return _is_any(headers["x-talkpilot-signature"], right)


def is_configured(environment: Mapping[str, str]) -> bool:
    """Whether the environment has a secret, and so a receiver is wanted."""
    names = (SECRET, PATH_SECRET)
    return any(environment.get(name) or environment.get(f"{name}_FILE") for name in names)


def _is_any(given: str, right: Iterable[str]) -> bool:
    """Compare in a time that tells nothing of what is right."""
    return any(hmac.compare_digest(given.encode(), each.encode()) for each in right)


def _secret(environment: Mapping[str, str], name: str) -> str:
    """The text of a secret from its variable or its file; empty where neither is set."""
    file = environment.get(f"{name}_FILE")
    if not file:
        return environment.get(name, "").strip()
    if environment.get(name):
        raise SettingsError(f"Both {name} and {name}_FILE are set: leave one.")
    try:
        found = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"{name}_FILE cannot be read ({type(error).__name__}).") from None
    if not found:
        raise SettingsError(f"{name}_FILE names an empty file.")
    return found
