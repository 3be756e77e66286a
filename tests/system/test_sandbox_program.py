"""What ``python -m airflow_provider_talkpilot.sandbox`` prints works when it is pasted."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client

from tests.system.running import COMMAND_SECONDS, DAG, Airflow, Program

pytestmark = pytest.mark.slow

OPTIONS = ["--port", "0", "--start", "2026-03-16", "--days", "1", "--calls-per-day", "12"]


def test_its_lines_pasted_into_a_shell_make_the_dag_run(airflow: Airflow, tmp_path: Path) -> None:
    with Program(tmp_path, "airflow_provider_talkpilot.sandbox", *OPTIONS) as sandbox:
        sandbox.says(r"(Ready)\.", 60)
        pasted = "\n".join(re.findall(r"^export .*$", sandbox.text(), re.MULTILINE))
        script = (
            f"{pasted}\nexec {shlex.quote(sys.executable)} -m airflow dags test {DAG} 2026-03-17\n"
        )
        ended = subprocess.run(
            ["sh"],
            input=script,
            capture_output=True,
            text=True,
            env=airflow.environment,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-6000:]
        values = dict(line.removeprefix("export ").split("=", 1) for line in pasted.splitlines())
        table = values["AIRFLOW_VAR_TALKPILOT_BIGQUERY_TABLE"]
        client = Client(
            project=table.partition(".")[0],
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            client_options={"api_endpoint": values["BIGQUERY_EMULATOR_HOST"]},
        )
        query = f"SELECT COUNT(*), COUNT(detail_synced_at) FROM `{table}`"
        assert [tuple(row) for row in client.query(query).result(timeout=30)] == [(12, 12)]
        client.close()  # type: ignore[no-untyped-call]
