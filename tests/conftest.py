"""Airflow for the tests: a home of its own, and no settings of the caller's shell."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_talkpilot.sandbox import Sandbox
    from airflow_provider_talkpilot.sandbox.eras import Era

# Variables of the caller's shell that must not reach the tests.
_NOT_OURS = (
    "AIRFLOW_CONN_",
    "AIRFLOW_VAR_",
    "BIGQUERY_EMULATOR_HOST",
    "CLOUDSDK_",
    "GCLOUD_",
    "GOOGLE_",
    "STORAGE_EMULATOR_HOST",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of `make test-strict` and `make test-google`."""
    parser.addoption(
        "--bigquery",
        choices=("sandbox", "strict", "google"),
        default="sandbox",
        help="the sandbox's BigQuery, the stricter one of make test-strict, or Google's own",
    )
    for name in ("project", "location", "bucket"):
        parser.addoption(f"--google-{name}", help="of make test-google")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests marked ``both_eras`` in each era, the others in that of the fixture."""
    if "era" in metafunc.fixturenames and metafunc.definition.get_closest_marker("both_eras"):
        metafunc.parametrize("era", [pytest.param("spring", marks=pytest.mark.slow), "now"])


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    """One server for all tests; each fixture ``sandbox`` resets it."""
    from airflow_provider_talkpilot.sandbox import Sandbox

    with Sandbox(days=1, calls_per_day=0) as sandbox:
        yield sandbox


@pytest.fixture
def era() -> Era:
    """The state of the API that the sandbox serves."""
    return "now"


def _prepare() -> None:
    """Set the variables that Airflow reads while it is imported; make has set them already."""
    for name in [name for name in os.environ if name.startswith(_NOT_OURS)]:
        del os.environ[name]
    if "AIRFLOW_HOME" not in os.environ:
        home = tempfile.mkdtemp(prefix="talkpilot-airflow-")
        atexit.register(_remove, home, os.getpid())
        os.environ["AIRFLOW_HOME"] = home
    defaults = {
        "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parents[1] / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        # Without it, gcsfs requests every bucket from Google, and waits a minute each time.
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _remove(home: str, owner: int) -> None:
    if os.getpid() == owner:  # not in a forked child
        shutil.rmtree(home, ignore_errors=True)


_prepare()
settings.register_profile("long", max_examples=1000, deadline=None, print_blob=True)
