"""Run a command for as long as standard input stays open, then end it.

:mod:`airflow_provider_talkpilot.sandbox.emulators.processes` starts this program and holds the
other end of the pipe. When that process ends, even by a kill, the pipe closes, and this program
ends the command. It imports the standard library alone, and nothing of this package.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading

_TERMINATE_SECONDS = 8
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """On Linux, let the kernel kill the command when the guard itself is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def run(command: list[str]) -> int:
    """Run the command until it ends, standard input closes or SIGTERM comes.

    :param command: program and arguments.
    :returns: the command's exit code.
    """
    # No other thread runs yet, so the code between fork and exec is safe.
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        preexec_fn=_die_with_parent if os.name == "posix" else None,  # noqa: PLW1509
    )
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        with contextlib.suppress(OSError, ValueError):
            while os.read(0, 4096):
                pass
        child.terminate()
        try:
            child.wait(_TERMINATE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()

    threading.Thread(target=watch, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
