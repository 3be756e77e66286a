"""An XCom backend that cannot read (Airflow 3)."""

from __future__ import annotations

from typing import Any

from airflow.sdk.bases.xcom import BaseXCom


class Refusing(BaseXCom):
    """A backend whose values the API server may not read."""

    @staticmethod
    def deserialize_value(result: Any) -> Any:
        """Raise an error that quotes the value."""
        raise PermissionError(f"may not read {result.value}")
