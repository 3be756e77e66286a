"""Checks an installed package, in any environment, with that environment's Python alone."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import airflow_provider_talkpilot as package

# Packages that need an extra.
EXTRAS = ("sandbox", "webhook")


def main() -> int:
    """Check the package, and print one line.

    :return: the exit code.
    :raises AssertionError: when something is missing.
    """
    on_airflow_3 = int(version("apache-airflow").partition(".")[0]) >= 3
    names = [
        module.name
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not any(f".{extra}" in module.name for extra in EXTRAS)
        and (on_airflow_3 or not module.name.startswith(f"{package.__name__}.plugins."))
    ]
    for name in names:
        importlib.import_module(name)

    from airflow.providers_manager import ProvidersManager

    providers = ProvidersManager()
    assert "airflow-provider-talkpilot" in providers.providers, "Airflow does not list the provider"
    assert "talkpilot" in providers.hooks, "Airflow lacks the connection type"
    [plugin] = entry_points(group="airflow.plugins", name="talkpilot")
    assert bool(plugin.load().fastapi_apps) == on_airflow_3, "the page is missing"
    if commands := getattr(providers, "cli_command_functions", None):  # from Airflow 3.2 on
        assert any(group.name == "talkpilot" for give in commands for group in give())
    files = Path(package.__file__).parent
    for file in ("py.typed", "plugins/static/index.html", "bigquery/sql/*.sql"):
        assert list(files.glob(file)), f"{file} is not in the wheel"
    print(f"{len(names)} modules, the provider, the connection type{', the page' * on_airflow_3}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
