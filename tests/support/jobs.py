"""Runs tasks in processes that a test may kill, measure or keep short of disk.

Python's fork server loads Airflow once. Every job is a fork of that clean process.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# The fork server imports these once, for all jobs.
import airflow_provider_talkpilot.operators.bigquery
import airflow_provider_talkpilot.operators.calls
import airflow_provider_talkpilot.operators.clean  # noqa: F401
from tests.support.google import cap_bytes
from tests.support.tasks import Outcome, run_task

_SECONDS = 120


@dataclass(frozen=True)
class Death:
    """The call of a function at which a job kills itself with SIGKILL.

    :param function: ``module:name`` or ``module:class.name``, such as
        ``google.cloud.bigquery:Client.query``.
    :param call: 1 for the function's first call.
    :param after: kill when the function has returned, not before it begins.
    """

    function: str
    call: int = 1
    after: bool = False


@dataclass(frozen=True)
class Ended:
    """How a job ended.

    :param outcome: of the task; None if it raised or was killed.
    :param error: class and text of the exception.
    :param output: everything that the job printed or logged.
    :param exit_code: negative for the signal that killed the job.
    :param peak_kib: the most memory that the job had resident, in KiB.
    """

    outcome: Outcome | None
    error: tuple[type[BaseException], str] | None
    output: str
    exit_code: int | None
    peak_kib: int

    @property
    def killed(self) -> bool:
        return self.exit_code == -signal.SIGKILL

    @property
    def returned(self) -> Any:
        """What the task returned; it must have succeeded."""
        assert self.outcome is not None, f"{self.error}\n{self.output[-3000:]}"
        return self.outcome.returned


class Jobs:
    """Starts jobs.

    :param seconds: how long a job may take.
    :ivar process_id: of the job that started last.
    """

    def __init__(self, seconds: float = _SECONDS) -> None:
        self._seconds = seconds
        self.process_id: int | None = None
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])

    def run(
        self,
        operator: type[Any],
        *,
        death: Death | None = None,
        file_bytes: int | None = None,
        debug: bool = False,
        constants: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> Ended:
        """Run one task to its end.

        :param operator: its class.
        :param death: where the process kills itself.
        :param file_bytes: the most bytes of a file, as on a full disk.
        :param debug: log everything of every library.
        :param constants: other values for constants of the package, by ``module:name``.
        :param arguments: of :func:`run_task`.
        """
        receiver, sender = self._context.Pipe(duplex=False)
        settings = {"death": death, "file_bytes": file_bytes, "debug": debug}
        with tempfile.NamedTemporaryFile(prefix="talkpilot-job-") as output:
            begin = self._context.Event()
            process = self._context.Process(
                target=_run_job,
                args=(begin, sender, output.name, dict(os.environ), operator, arguments),
                kwargs={**settings, "constants": dict(constants or {})},
            )
            process.start()
            sender.close()
            self.process_id = process.pid
            begin.set()
            result: tuple[Any, Any, int] = (None, None, 0)
            with suppress(EOFError):
                assert receiver.poll(self._seconds), "the job hangs"
                result = receiver.recv()
            process.join(self._seconds)
            text = Path(output.name).read_text(errors="replace")
        return Ended(result[0], result[1], text, process.exitcode, result[2])


def _run_job(
    begin: Any,
    sender: Connection,
    output: str,
    environment: Mapping[str, str],
    operator: type[Any],
    arguments: dict[str, Any],
    *,
    death: Death | None,
    file_bytes: int | None,
    debug: bool,
    constants: dict[str, Any],
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    # If no file may grow, the output may not grow either.
    target = output if file_bytes is None else os.devnull
    descriptor = os.open(target, os.O_WRONLY | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    logging.basicConfig(
        stream=sys.stderr, level=logging.DEBUG if debug else logging.INFO, force=True
    )
    if debug:
        for name in list(logging.root.manager.loggerDict):
            logger = logging.getLogger(name)
            logger.setLevel(logging.DEBUG)
            logger.propagate, logger.disabled = True, False
    cap_bytes()
    for place, value in constants.items():
        module, _, name = place.partition(":")
        setattr(importlib.import_module(module), name, value)
    if death:
        _arm(death)
    begin.wait()
    if file_bytes is not None:
        # Python would keep the torn bytecode of a module, and no process could import it again.
        sys.dont_write_bytecode = True
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    outcome = error = None
    try:
        outcome = run_task(operator, **arguments)
    except BaseException as raised:  # noqa: BLE001 - sent to the test
        error = type(raised), str(raised)
        with suppress(OSError):
            traceback.print_exc()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sender.send((outcome, error, peak))
    sender.close()


def _arm(death: Death) -> None:
    module, _, path = death.function.partition(":")
    owner: Any = importlib.import_module(module)
    *holders, name = path.split(".")
    for holder in holders:
        owner = getattr(owner, holder)
    original = getattr(owner, name)
    calls = 0

    def deadly(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        last = calls == death.call
        if last and not death.after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, deadly)
