"""``make dist``: checks the files and metadata of what was built, and that it installs."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "airflow_provider_talkpilot"
UV = (str(ROOT / ".venv" / "bin" / "uv"), "--quiet")


def main(folder: Path) -> int:
    """Check the wheel and the sdist.

    :param folder: with one of each.
    :return: the exit code.
    """
    [wheel], [sdist] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    git = ("git", "ls-files", PACKAGE, "dags", "CHANGELOG.md", "LICENSE", "README.md",
        "pyproject.toml")  # fmt: skip
    tracked = set(subprocess.check_output(git, cwd=ROOT, text=True).split())
    with zipfile.ZipFile(wheel) as file:
        held = {name for name in file.namelist() if ".dist-info/" not in name}
    code = {name for name in tracked if name.startswith(PACKAGE)}
    assert held == code, f"the wheel and git differ in {sorted(held ^ code)}"
    with tarfile.open(sdist) as tar:
        inside = {name.partition("/")[2] for name in tar.getnames()} - {"PKG-INFO"}
    assert inside == tracked, f"the sdist and git differ in {sorted(inside ^ tracked)}"
    check = (*UV, "tool", "run", "twine@7.0.0", "check", "--strict", str(wheel), str(sdist))
    subprocess.run(check, check=True)
    with tempfile.TemporaryDirectory(prefix="talkpilot-dist-") as name:
        python = f"{name}/bin/python"
        lock = str(ROOT / "requirements" / "airflow-3.3.txt")
        subprocess.run([*UV, "venv", "--no-project", "--python", sys.executable, name], check=True)
        install = (*UV, "pip", "install", "--python", python, "--constraint", lock, str(wheel))
        subprocess.run(install, check=True)
        installed = [python, "-W", "ignore", str(ROOT / "scripts" / "installed.py")]
        environment = {"AIRFLOW_HOME": f"{name}/airflow", "HOME": name, "PATH": ""}
        subprocess.run(installed, check=True, cwd=name, env=environment)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
