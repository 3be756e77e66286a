"""The measured tools, each in its own environment with pinned versions."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
BENCH = ROOT / ".bench"


@dataclass(frozen=True)
class Contestant:
    """A tool.

    :param name: as the tables have it.
    :param module: what is run.
    :param requirements: what its environment is made of; none for the package's own.
    :param kinds: what it has a notion of.
    :param kept: the folder of its own that outlives a run; None where it keeps nothing.
    :param goes_on: whether a list goes on from where the last run's ended.
    """

    name: str
    module: str
    requirements: tuple[str, ...] = ()
    kinds: frozenset[str] = field(default_factory=frozenset)
    kept: str | None = None
    goes_on: bool = False

    @property
    def python(self) -> str:
        """Its environment's Python; the first use creates the environment."""
        if not self.requirements:
            return sys.executable
        folder = BENCH / self.module.rpartition(".")[2]
        python, made = folder / "bin" / "python", folder / ".made"
        if not made.exists() or made.read_text() != "\n".join(self.requirements):
            print(f"Installing {self.name} into {folder.relative_to(ROOT)} …", flush=True)
            uv = str(Path(sys.executable).with_name("uv"))
            make = [uv, "-q", "venv", "--no-project", "--clear", "--python", sys.executable]
            subprocess.run([*make, str(folder)], check=True)
            install = [uv, "-q", "pip", "install", "--python", str(python)]
            subprocess.run([*install, *self.requirements], check=True, cwd=ROOT)
            made.write_text("\n".join(self.requirements))
        return str(python)


_DETAILS = frozenset({"list", "interval", "details", "resumed"})

OURS = Contestant("this provider", "benchmarks.ours", (), _DETAILS, "staging")
LOADED = Contestant("this provider", "benchmarks.ours_loaded", (), _DETAILS, "staging")
DLT = Contestant(
    "dlt",
    "benchmarks.peers.dlt_calls",
    ("dlt==1.31.0",),
    _DETAILS | {"cursor"},
    "pipelines",
    goes_on=True,
)
AIRBYTE = Contestant(
    "Airbyte CDK",
    "benchmarks.peers.airbyte_calls",
    ("airbyte-cdk==7.39.1",),
    _DETAILS | {"cursor"},
    goes_on=True,
)
SINGER = Contestant(
    "Singer SDK", "benchmarks.peers.singer_calls", ("singer-sdk==0.54.9",), _DETAILS, goes_on=True
)
HTTP = Contestant(
    "HttpOperator",
    "benchmarks.peers.http_operator",
    (
        "-c",
        "requirements/airflow-3.3.txt",
        "apache-airflow==3.3.2",
        "apache-airflow-providers-http==6.3.0",
    ),
    frozenset({"list", "interval"}),
    "bucket",
)

PEERS = (DLT, AIRBYTE, SINGER, HTTP)


def contestants(kind: str, ours: Contestant = OURS) -> list[Contestant]:
    """Return this provider, and the peers that can do this kind of work."""
    return [ours, *(peer for peer in PEERS if kind in peer.kinds)]
