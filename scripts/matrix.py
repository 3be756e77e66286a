"""``make test-matrix``: the built wheel on every version of Airflow that it supports.

For each version it makes an environment with the wheel, and with the versions that Airflow's
official constraints had on that version's day. There it imports every module, checks what Airflow
shows of the provider, and runs the shipped DAG against a local TalkPilot and BigQuery. Then the
table must have what TalkPilot has. It writes the result to docs/compatibility.md.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from airflow_provider_talkpilot.sandbox import BigQueryEmulator, Sandbox
from scripts.airflow_command import Airflow, DemoError
from scripts.demo import TABLE, Demo

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "compatibility.md"
UV = (str(ROOT / ".venv" / "bin" / "uv"), "--quiet")
SHOWN = (
    "apache-airflow-providers-google",
    "apache-airflow-providers-common-compat",
    "google-cloud-bigquery",
    "pydantic",
    "pendulum",
    "httpx",
)
CHECK_SECONDS = 180
LOWEST = " (lowest)"
BEGIN, END = "<!-- matrix: by `make test-matrix` -->\n", "<!-- end of matrix -->\n"


class MatrixError(Exception):
    """The error of a row, in one line."""


@dataclass(frozen=True)
class Row:
    """One environment.

    :param airflow: the version of Airflow.
    :param python: the version of Python.
    :param day: packages are at most as new as this.
    :param pins: versions of the Google provider, common-compat, BigQuery's client and pydantic,
        as Airflow's official constraints had them.
    :param options: more options of the resolver.
    """

    airflow: str
    python: str
    day: str
    pins: tuple[str, str, str, str] | None = None
    options: Sequence[str] = field(default=())

    @property
    def name(self) -> str:
        """The row's name, for people."""
        lowest = ", lowest versions" if self.options else ""
        return f"Airflow {self.airflow} on Python {self.python}{lowest}"


# The packages that were current when a version came out, by the days of their upload.
ROWS = (
    Row("2.11.0", "3.11", "2025-05-26", options=("--resolution", "lowest-direct")),
    Row("2.11.0", "3.11", "2025-05-26", ("15.1.0", "1.7.0", "3.33.0", "2.11.5")),
    Row("2.11.2", "3.12", "2026-03-15", ("20.0.0", "1.14.1", "3.40.1", "2.12.5")),
    Row("3.0.6", "3.12", "2025-08-31", ("17.1.0", "1.7.3", "3.36.0", "2.11.7")),
    Row("3.1.8", "3.13", "2026-03-15", ("20.0.0", "1.14.1", "3.40.1", "2.12.5")),
    Row("3.2.2", "3.13", "2026-06-05", ("22.0.0", "1.15.0", "3.41.0", "2.13.4")),
    Row("3.3.2", "3.13", "2026-10-01", ("22.5.0", "1.19.0", "3.45.2", "2.13.5")),
)


def run(*command: str, stdin: str | None = None, seconds: float = 900) -> str:
    """Run a program to its end.

    :param command: the program and its arguments.
    :param stdin: its standard input.
    :param seconds: the longest that it may take.
    :return: its output.
    :raises MatrixError: when it fails, with the end of its output.
    """
    done = subprocess.run(
        command, input=stdin, text=True, capture_output=True, check=False, timeout=seconds, cwd=ROOT
    )
    if done.returncode:
        output = " | ".join((done.stderr or done.stdout).strip().splitlines()[-6:])
        raise MatrixError(f"{Path(command[0]).name} {command[2]}: {output[:900]}")
    return done.stdout


def install(row: Row, wheel: Path, folder: Path) -> str:
    """Make the environment of a row, with the wheel in it.

    :return: its Python.
    """
    names = ("providers-google", "providers-common-compat")
    packages = [f"apache-airflow-{name}" for name in names] + ["google-cloud-bigquery", "pydantic"]
    # First the versions of the official constraints, without this package. Then they constrain the
    # wheel: a bound of it that is too high fails. For the lowest versions, its own bounds.
    airflow = f"apache-airflow=={row.airflow}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    official = [f"{name}=={pin}" for name, pin in zip(packages, row.pins or (), strict=False)]
    wanted = [airflow, *(official or project["dependencies"])]
    resolve = (*UV, "pip", "compile", "-", "--no-header", "--no-annotate", "--python-version",
        row.python, "--exclude-newer", row.day)  # fmt: skip
    constraints = folder / "constraints.txt"
    constraints.write_text(run(*resolve, *row.options, stdin="\n".join(wanted)))
    python = str(folder / "environment" / "bin" / "python")
    run(*UV, "venv", "--no-project", "--python", row.python, str(folder / "environment"))
    to_install = (airflow, str(wheel))
    run(*UV, "pip", "install", "--python", python, "--constraint", str(constraints), *to_install)
    return python


def try_out(python: str, folder: Path) -> str:
    """Check the installed package, and run its DAG.

    :return: what ran, for the table.
    """
    installed = (python, "-W", "ignore", str(ROOT / "scripts" / "installed.py"))
    home = {"AIRFLOW_HOME": str(folder / "airflow"), "HOME": str(folder)}
    with environment(home):
        found = run(*installed).strip().splitlines()[-1]
    with contextlib.ExitStack() as stack:
        start = dt.date(2026, 3, 16)
        sandbox = stack.enter_context(Sandbox(start=start, days=1, agents=2, calls_per_day=20))
        bigquery = stack.enter_context(BigQueryEmulator(home=folder, gcs_root=folder / "gcs"))
        settings = {
            **sandbox.environment,
            **bigquery.environment,
            "PYTHONSAFEPATH": "1",  # the wheel, and not this checkout
            "AIRFLOW_VAR_TALKPILOT_STAGING_URI": (folder / "staging").as_uri(),
            "AIRFLOW_VAR_TALKPILOT_BIGQUERY_TABLE": TABLE,
        }
        airflow = Airflow(folder, folder / "airflow.log", settings, python)
        demo = Demo(sandbox, bigquery, airflow)
        demo.migrate()
        airflow.run("check", module="airflow_provider_talkpilot", seconds=CHECK_SECONDS)
        demo.load(start)
        demo.check()
        return f"{found}; {len(sandbox.store)} of {len(sandbox.store)} rows"


@contextlib.contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for a while."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def versions(python: str) -> dict[str, str]:
    """Return the version of each package in an environment."""
    lines = run(*UV, "pip", "freeze", "--python", python).splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the rows, one after the other.

    :param arguments: the command line; None is the process's.
    :return: the exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m scripts.matrix", description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--only", metavar="AIRFLOW", help="the rows of one version")
    options = parser.parse_args(arguments)
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    failed = 0
    for row in ROWS:
        if options.only not in (None, row.airflow):
            continue
        print(f"== {row.name}", flush=True)
        begin = time.monotonic()
        cells = ["-"] * len(SHOWN)
        with tempfile.TemporaryDirectory(prefix="talkpilot-matrix-") as name:
            try:
                python = install(row, options.wheel.resolve(), Path(name))
                have = versions(python)
                cells = [have.get(package, "-") for package in SHOWN]
                result = try_out(python, Path(name))
            except (MatrixError, DemoError, subprocess.TimeoutExpired) as error:
                failed += 1
                result = "failed"
                print(f"failed: {error}", *getattr(error, "log", ()), sep="\n", flush=True)
        print(f"{result} ({time.monotonic() - begin:.0f} s)", flush=True)
        name = f"{row.airflow}{LOWEST * bool(row.options)}"
        today = dt.datetime.now(dt.UTC).date().isoformat()
        write(f"| {' | '.join([name, row.python, *cells, result, today])} |")
    return int(bool(failed))


def write(line: str) -> None:
    """Write a row into the document, in place of the one of the same version."""
    text = DOCUMENT.read_text(encoding="utf-8")
    heads = ("Airflow", "Python", "google", "common-compat", *SHOWN[2:], "what ran", "on")
    head, _, rest = text.partition(BEGIN)
    table, _, tail = rest.partition(END)
    rows = {_key(row): row for row in [*table.splitlines()[2:], line]}
    names = [f"{row.airflow}{LOWEST * bool(row.options)}" for row in ROWS]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines += [rows[name] for name in names if name in rows]
    DOCUMENT.write_text(head + BEGIN + "\n".join(lines) + "\n" + END + tail, encoding="utf-8")


def _key(row: str) -> str:
    return row.split("|")[1].strip()


if __name__ == "__main__":
    sys.exit(main())
