"""``make pictures``: a browser takes the documents' pictures of a real Airflow.

It is the Airflow of ``make ui``, with made-up calls and keys. Airflow's pages use the font Inter if
the machine has it (Debian: fonts-inter).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from scripts.ui import CONNECTION, Show, say, show, terminate
from tests.system.browser import NONE_FOUND, Visit, browser, find_browser
from tests.system.running import REPOSITORY

IMAGES = REPOSITORY / "docs" / "images"
MOST_BYTES = 200_000
# TalkPilot's own address, for the picture of the form; no request goes there.
EXAMPLE_URL = "https://api.talkpilot.io/v1"


def main() -> int:
    """Take all pictures, then replace the old ones.

    :return: the exit code.
    """
    program = find_browser()
    if program is None:
        say(f"It failed: {NONE_FOUND}")
        return 1
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, terminate)
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    with contextlib.ExitStack() as stack:
        folder = tempfile.TemporaryDirectory(prefix="talkpilot-", ignore_cleanup_errors=True)
        home = Path(stack.enter_context(folder))
        taken = home / "images"
        taken.mkdir()
        shown = stack.enter_context(show(home, say=say))
        running = stack.enter_context(browser(program))
        with Visit(running, shown.airflow.url) as visit:
            visit.log_in("admin", shown.airflow.passwords["admin"])
            picture_connection(visit, shown, taken)
            shown.sync(say)
            picture_runs(visit, shown, taken)
            picture_page(visit, taken / "page-light.png")
        with Visit(running, shown.airflow.url, theme="dark") as visit:
            visit.log_in("admin", shown.airflow.passwords["admin"])
            picture_page(visit, taken / "page-dark.png")
        for path in sorted(taken.iterdir()):
            size = path.stat().st_size
            say(f"  {path.name:26}{size // 1000:4} kB")
            if size >= MOST_BYTES:
                raise ValueError(f"{path.name} has {size} bytes: too large for a document")
        IMAGES.mkdir(exist_ok=True)
        for path in taken.iterdir():
            shutil.copy(path, IMAGES)
    return 0


def picture_connection(visit: Visit, shown: Show, folder: Path) -> None:
    """Take the form, filled in; its options; and the result of the test button."""
    key = shown.sandbox.api_key
    fields = {"Base URL": EXAMPLE_URL, "Port": "443", "API key": key}
    form = visit.new_connection(CONNECTION, fields)
    visit.picture(folder / "connection.png")
    visit.open_extras(form, {"Share of the quota": "0.8"})
    visit.picture(folder / "connection-options.png", of=form)
    fields = {"Base URL": shown.sandbox.base_url, "Port": f"{shown.sandbox.port}", "API key": key}
    form = visit.new_connection(CONNECTION, fields)
    visit.open_extras(form, {"Requests per hour": "1000"})
    visit.save(form)
    visit.test_connection(CONNECTION)
    visit.picture(folder / "connection-test.png")


def picture_runs(visit: Visit, shown: Show, folder: Path) -> None:
    """Take the form for a run of an interval; a green run; a task of it with its links."""
    first = shown.days[0]
    form = visit.fill_in_trigger(first, first + dt.timedelta(days=7))
    visit.picture(folder / "trigger.png", of=form)
    run = shown.runs["day 0"]
    visit.watch(run, shown.count_tasks())
    visit.picture(folder / "run.png")
    visit.open_task(run, "load_calls")
    visit.picture(folder / "task.png")


def picture_page(visit: Visit, path: Path) -> None:
    """Take the page TalkPilot, with the last 30 days."""
    page = visit.open_talkpilot()
    page.get_by_role("link", name="30 days").click()
    page.locator("a[aria-current]", has_text="30 days").wait_for()
    visit.picture(path)


if __name__ == "__main__":
    sys.exit(main())
