"""A rehearsal of ``make test-google`` with emulators and a made-up key instead of Google."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.cloud.bigquery import Client

from airflow_provider_talkpilot.sandbox import BigQueryEmulator, StorageEmulator
from tests.support.google import VARIABLES
from tests.unit.api.raw_server import RawServer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TESTS = ("test_staging.py", "test_loads.py::test_purged_stays_purged", "test_bad_input.py")


def service_account(token_uri: str) -> str:
    """Return the content of a key file with a new key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "demo",
            "private_key_id": "0",
            "private_key": pem.decode(),
            "client_email": "test@demo.example",
            "client_id": "0",
            "token_uri": token_uri,
        }
    )


def test_it_runs_and_leaves_nothing_behind(
    bigquery: Client,
    bigquery_emulator: BigQueryEmulator,
    storage_emulator: StorageEmulator,
    tmp_path: Path,
) -> None:
    token = {"access_token": "x", "expires_in": 3600, "token_type": "Bearer"}
    storage_emulator.create_bucket("rehearsal")
    json_type = {"Content-Type": "application/json"}
    with RawServer(json.dumps(token).encode(), headers=json_type) as server:
        key = tmp_path / "key.json"
        key.write_text(service_account(server.url))
        google = {
            "GOOGLE_APPLICATION_CREDENTIALS": str(key),
            "BIGQUERY_EMULATOR_HOST": bigquery_emulator.url,
            "STORAGE_EMULATOR_HOST": storage_emulator.url,
        }
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--bigquery=google", "--google-project=demo"]
            + ["--google-location=US", "--google-bucket=rehearsal", "-k", "not gzip"]
            + [f"tests/integration/{name}" for name in TESTS],
            cwd=ROOT,
            env={**os.environ, VARIABLES: json.dumps(google)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert ended.returncode == 0, ended.stdout[-6000:]
    [passed] = re.findall(r"(\d+) passed", ended.stdout)
    assert int(passed) >= 5
    assert "skipped" not in ended.stdout
    datasets = [dataset.dataset_id for dataset in bigquery.list_datasets()]
    assert not [name for name in datasets if name.startswith("talkpilot_test_")]
    left = (storage_emulator.gcs_root / "rehearsal").rglob("*")
    assert not [path for path in left if path.is_file()]
