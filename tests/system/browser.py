"""A browser in front of Airflow: how to find it, and what a user does in it.

Nothing here needs pytest, because the script that takes the documents' pictures uses it too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote, urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    FrameLocator,
    Locator,
    Page,
    expect,
    sync_playwright,
)

from tests.system.running import DAG

Theme = Literal["light", "dark"]

NONE_FOUND = "no browser is found: apt-get install chromium, or CHROMIUM=/path/to/chrome"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SIZE, TALL = (1440, 900), 1500
_NOT_AIRFLOWS_SCRIPTS = re.compile("^(?!.*/static/assets/)")
# On a busy machine Airflow's pages take long.
SECONDS = 90
RUN_SECONDS = 600


def find_browser() -> str | None:
    """Find a Chromium: the one that CHROMIUM names, one on the PATH, or Playwright's own.

    :return: its program, or None where there is none.
    """
    named = os.environ.get("CHROMIUM")
    if named:
        return shutil.which(named)
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found:
        return found
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


@contextmanager
def browser(program: str) -> Iterator[Browser]:
    """Run a browser, without a window.

    :param program: as :func:`find_browser` gives it.
    """
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=program,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        try:
            yield running
        finally:
            running.close()


class Visit:
    """A user in front of Airflow; a context manager.

    :param browser: a running browser.
    :param url: Airflow's address.
    :param theme: what the user's system prefers.
    :param size: of the window: width and height in pixels.
    :param record: a file that gets all that the browser received, as a HAR; None for nothing.
    """

    def __init__(
        self,
        browser: Browser,
        url: str,
        *,
        theme: Theme = "light",
        size: tuple[int, int] = SIZE,
        record: Path | None = None,
    ) -> None:
        self._record = record
        self._context: BrowserContext = browser.new_context(
            base_url=url,
            color_scheme=theme,
            locale="en-US",
            timezone_id="UTC",
            reduced_motion="reduce",
            viewport={"width": size[0], "height": size[1]},
            record_har_path=record,
            record_har_url_filter=_NOT_AIRFLOWS_SCRIPTS,
        )
        self._context.set_default_timeout(1000 * SECONDS)
        expect.set_options(timeout=1000 * SECONDS)
        self.page: Page = self._context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._listen)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the window; then the record is written."""
        self._context.close()

    def received(self) -> list[str]:
        """Close the window; return all texts that it received."""
        self.close()
        assert self._record is not None, "the visit is not recorded"
        entries = json.loads(self._record.read_text(encoding="utf-8"))["log"]["entries"]
        contents = [entry["response"]["content"] for entry in entries]
        return [each.get("text", "") for each in contents if each.get("encoding") != "base64"]

    def _listen(self, message: ConsoleMessage) -> None:
        """Keep the browser's errors about the page: of a script, or of a forbidden source."""
        if message.type == "error" and "/talkpilot/" in message.location["url"] + message.text:
            self.complaints.append(message.text)

    def log_in(self, name: str, password: str) -> None:
        """Log in at the form, which Airflow shows to strangers wherever they go."""
        self.page.goto("/")
        self.page.get_by_label("Username").fill(name)
        self.page.locator("input[name=password]").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self._menu("Home")).to_be_visible()

    # Connections

    def new_connection(self, name: str, fields: Mapping[str, str]) -> Locator:
        """Open the form of a new connection, fill it in, and return it.

        :param name: the connection's id.
        :param fields: texts by the fields' labels.
        """
        self.page.goto("/connections")
        self.page.get_by_role("button", name="Add Connection").click()
        form = self.page.get_by_role("dialog")
        form.get_by_label("Connection ID").fill(name)
        form.get_by_label("Connection Type").fill("TalkPilot")
        self.page.get_by_role("option", name="TalkPilot", exact=True).click()
        fill_in(form, fields)
        return form

    def open_extras(self, form: Locator, fields: Mapping[str, str]) -> None:
        """Unfold the options of a connection's form, and fill some in."""
        form.get_by_role("button", name="Extra Fields", exact=True).click()
        fill_in(form, fields)

    def save(self, form: Locator) -> None:
        """Save the form."""
        form.get_by_role("button", name="Save").click()
        expect(form).to_be_hidden()

    def edit_connection(self, name: str, fields: Mapping[str, str]) -> None:
        """Change some fields of a connection, and save."""
        self.page.goto("/connections")
        self._connection(name).get_by_role("button", name="Edit Connection").click()
        form = self.page.get_by_role("dialog")
        fill_in(form, fields)
        self.save(form)

    def test_connection(self, name: str) -> tuple[str, str]:
        """Press the button; return title and text of the message."""
        self.page.goto("/connections")
        self._connection(name).get_by_role("button", name="Test Connection").click()
        message = self._message("Test Connection")
        message.hover()  # while the mouse is over it, it stays
        title, _, text = message.inner_text().partition("\n")
        return title, text

    # Runs

    def fill_in_trigger(self, start: date, end: date) -> Locator:
        """Open the DAG's form for a run, fill in an interval, and return the form."""
        self.page.goto(f"/dags/{DAG}")
        self.page.get_by_role("button", name="Trigger").click()
        form = self.page.get_by_role("dialog")
        # Airflow's labels are not tied to these fields.
        for name, day in (("start", start), ("end", end)):
            form.locator(f"input[name=element_{name}]").fill(day.isoformat())
        return form

    def trigger(self, form: Locator) -> str:
        """Send the form; return the run's id."""
        with self.page.expect_response(re.compile("/dagRuns$")) as response:
            form.get_by_role("button", name="Trigger").click()
        return str(response.value.json()["dag_run_id"])

    def watch(self, run: str, tasks: int) -> None:
        """Watch a run's page, without a reload, until the run and each of its tasks are green.

        :param tasks: how many tasks the run has.
        """
        self.page.goto(run_path(run))
        states = self.page.get_by_text("Success", exact=True)
        expect(self.page.get_by_role("row").locator(states)).to_have_count(
            tasks, timeout=1000 * RUN_SECONDS
        )
        expect(states).to_have_count(tasks + 1)

    def open_task(self, run: str, task: str) -> dict[str, str]:
        """Open a task's details; return the addresses of its links, by name."""
        self.page.goto(f"{run_path(run)}/tasks/{task}/details")
        heading = self.page.get_by_role("heading", name="Extra Links")
        expect(heading).to_be_visible()
        links = heading.locator("..").get_by_role("link")
        return {link.inner_text(): link.get_attribute("href") or "" for link in links.all()}

    # The page

    def open_talkpilot(self) -> FrameLocator:
        """Choose TalkPilot in the menu, and return its page when it has the figures."""
        self._menu("TalkPilot").click()
        shown = self.page.frame_locator("iframe[title=TalkPilot]")
        expect(shown.locator("main[aria-busy=false]")).to_be_visible()
        return shown

    def open_day(self, shown: FrameLocator, day: date) -> str:
        """Click a day's square; return the path of the run that Airflow shows then."""
        shown.get_by_role("link", name=f"{day}, all agents").click()
        self.page.wait_for_url(re.compile(f"/dags/{DAG}/runs/"))
        expect(self.page.get_by_text("Task Instances").first).to_be_visible()
        return urlsplit(self.page.url).path

    def picture(self, path: Path, of: Locator | None = None) -> None:
        """Take a picture when all is drawn.

        :param path: a PNG.
        :param of: a part of the page; None for what is in the window.
        """
        self.page.wait_for_load_state("networkidle")
        if of is None:
            self.page.screenshot(path=path, animations="disabled", caret="hide")
            return
        # What does not fit into the window would be cut.
        size = self.page.viewport_size or {"width": SIZE[0], "height": SIZE[1]}
        self.page.set_viewport_size({"width": size["width"], "height": TALL})
        of.screenshot(path=path, animations="disabled", caret="hide")
        self.page.set_viewport_size(size)

    def _menu(self, name: str) -> Locator:
        return self.page.locator(f"a[aria-label='{name}']")

    def _connection(self, name: str) -> Locator:
        return self.page.get_by_role("row").filter(has=self.page.get_by_role("cell", name=name))

    def _message(self, title: str) -> Locator:
        # React can have one message in the page twice for a moment.
        found = self.page.locator("[data-scope=toast][data-part=root]").filter(has_text=title).first
        expect(found).to_be_visible()
        return found


def fill_in(form: Locator, fields: Mapping[str, str]) -> None:
    """Type texts into fields, by their labels."""
    for label, text in fields.items():
        form.get_by_label(label, exact=True).fill(text)


def run_path(run: str) -> str:
    """Return the path of a run's page."""
    return f"/dags/{DAG}/runs/{quote(run, safe='')}"
