"""Runs tasks in processes of their own, which may be killed, measured or kept short of disk.

Python's fork server loads Airflow once; every job is then a fork of that clean process.
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
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# Loaded by the fork server, so that no job has to.
import airflow_provider_talkpilot.operators.bigquery
import airflow_provider_talkpilot.operators.calls
import airflow_provider_talkpilot.operators.staging  # noqa: F401
from tests.support.google import cap_bytes
from tests.support.tasks import Outcome, run_task

_SECONDS = 120


@dataclass(frozen=True)
class Death:
    """Where a job kills itself with SIGKILL.

    :param function: ``module:name`` or ``module:class.name``, such as
        ``google.cloud.bigquery:Client.query``.
    :param call: at its first, second, … call.
    :param after: when it has returned, not before it begins.
    """

    function: str
    call: int = 1
    after: bool = False


@dataclass(frozen=True)
class Ended:
    """How a job ended.

    :param outcome: the task's; None where it raised or was killed.
    :param error: class and text of what it raised.
    :param output: everything it printed or logged.
    :param exit_code: negative for the signal that killed it.
    :param peak_kib: most memory that it ever had resident.
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

    :param seconds: a job that takes longer hangs.
    """

    def __init__(self, seconds: float = _SECONDS) -> None:
        self._seconds = seconds
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
        on_start: Callable[[int], None] | None = None,
        **arguments: Any,
    ) -> Ended:
        """Run one task to its end.

        :param operator: its class.
        :param death: kill it there.
        :param file_bytes: no file may grow beyond this: the disk is full.
        :param debug: log everything of every library.
        :param constants: other values for constants of the package, by ``module:name``.
        :param on_start: called with the process's id before it begins.
        :param arguments: of :func:`run_task`.
        """
        receiver, sender = self._context.Pipe(duplex=False)
        with tempfile.TemporaryDirectory(prefix="talkpilot-job-") as folder:
            output = Path(folder, "output")
            output.touch()
            begin = self._context.Event()
            process = self._context.Process(
                target=_job,
                args=(
                    begin,
                    sender,
                    str(output),
                    dict(os.environ),
                    death,
                    file_bytes,
                    debug,
                    dict(constants or {}),
                    operator,
                    arguments,
                ),
            )
            process.start()
            sender.close()
            if on_start and process.pid:
                on_start(process.pid)
            begin.set()
            result: tuple[Any, Any, int] = (None, None, 0)
            with suppress(EOFError):
                assert receiver.poll(self._seconds), "the job hangs"
                result = receiver.recv()
            process.join(self._seconds)
            text = output.read_text(errors="replace")
        return Ended(result[0], result[1], text, process.exitcode, result[2])


def _job(
    begin: Any,
    sender: Connection,
    output: str,
    environment: Mapping[str, str],
    death: Death | None,
    file_bytes: int | None,
    debug: bool,
    constants: dict[str, Any],
    operator: type[Any],
    arguments: dict[str, Any],
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    # Where no file may grow, the output's may not either.
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
        # Python keeps a module's torn bytecode, and then no process can import it.
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
