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
"""Names of environment variables. A secret's name with ``_FILE`` names a file with the secret."""

DEFAULT_RATE = 300
_CLOCKS_DIFFER_BY = 300
_TIMESTAMP = re.compile(r"\d{1,12}", re.ASCII)
_PATH_SECRET = re.compile(r"[A-Za-z0-9_-]{16,200}")


class SettingsError(ValueError):
    """The receiver cannot start with these settings; one line that names the cure."""


@dataclass(frozen=True)
class ReceiverSettings:
    """Who may deliver, and how much.

    :param secrets: TalkPilot's signing secret; several while it is replaced; empty if TalkPilot
        signs nothing.
    :param path_secret: a secret that is the last part of the address. With both secrets, a delivery
        needs both.
    :param rate: the most deliveries a second that one process reads.
    :raises SettingsError: with neither secret, or with one that is easily guessed.
    """

    secrets: tuple[str, ...] = field(default=(), repr=False)
    path_secret: str = field(default="", repr=False)
    rate: int = DEFAULT_RATE

    def __post_init__(self) -> None:
        if not self.secrets and not self.path_secret:
            raise SettingsError(
                f"No secret is given, so anybody could deliver: set {SECRET} to the one that "
                f"TalkPilot signs with, or {PATH_SECRET} if it signs nothing."
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

        :param environment: environment variables; :data:`SECRET` has a secret in each line.
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
        """Whether the last part of an address is the path secret, or empty if there is none."""
        return _is_any(given, [self.path_secret])

    def admits_headers(self, headers: Mapping[str, str], now: float) -> bool:
        """Whether headers can belong to a right delivery, before its body is read.

        :param headers: by names in small letters.
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
        """Whether the signature fits the body; true without one, for then the headers decided."""
        if not self.secrets or "x-talkpilot-signature" not in headers:
            return True
        signed = headers["x-talkpilot-timestamp"].encode() + b"." + body
        digests = (hmac.new(secret.encode(), signed, sha256) for secret in self.secrets)
        right = [f"sha256={digest.hexdigest()}" for digest in digests]
        return _is_any(headers["x-talkpilot-signature"], right)


def is_configured(environment: Mapping[str, str]) -> bool:
    """Whether the environment has a secret, which turns the receiver on."""
    names = (SECRET, PATH_SECRET)
    return any(environment.get(name) or environment.get(f"{name}_FILE") for name in names)


def _is_any(given: str, right: Iterable[str]) -> bool:
    """Whether a text is one of several, compared in constant time."""
    return any(hmac.compare_digest(given.encode(), text.encode()) for text in right)


def _secret(environment: Mapping[str, str], name: str) -> str:
    """Read a secret from its variable or its file; empty if neither is set."""
    file = environment.get(f"{name}_FILE")
    if not file:
        return environment.get(name, "").strip()
    if environment.get(name):
        raise SettingsError(f"Both {name} and {name}_FILE are set: leave one.")
    try:
        secret = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"{name}_FILE cannot be read ({type(error).__name__}).") from None
    if not secret:
        raise SettingsError(f"{name}_FILE names an empty file.")
    return secret
