"""A user with a real browser in front of a fresh Airflow: from the connection's form to the page.

The tests are one story: each needs the state that the tests before it left.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, expect

from airflow_provider_talkpilot.hooks.connection import FIELD_BEHAVIOUR, conn_fields
from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook
from airflow_provider_talkpilot.sandbox.settings import fake_api_key
from scripts.ui import AGENTS, BUCKET, CALLS_PER_DAY, CONNECTION, Show, show
from tests.support.personal import found_in, secrets_of
from tests.system.browser import (
    NONE_FOUND,
    SIZE,
    Theme,
    Visit,
    browser,
    fill_in,
    find_browser,
    run_path,
)
from tests.system.running import DAG

PROGRAM = find_browser()
pytestmark = [
    pytest.mark.airflow3,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason=NONE_FOUND),
]

DAYS = 3
WRONG_KEY = fake_api_key("wrong")
DASHBOARD = "https://app.example.com/talkpilot"
PHONE = (390, 800)
# WCAG 2.1, AA: 4.5 for text, 3 for large text, which is 24 px or 18.66 px and bold.
CONTRASTS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const light = (...colors) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const color of colors) { canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); }
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data]
      .map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const texts = [...node.childNodes].filter((n) => n.nodeType === 3 && n.data.trim());
    if (!texts.length || !node.checkVisibility()) continue;
    const grounds = [];
    for (let at = node; at; at = at.parentElement) {
      grounds.unshift(getComputedStyle(at).backgroundColor);
    }
    const { color, fontSize, fontWeight } = getComputedStyle(node);
    const [dark, bright] = [light(...grounds), light(...grounds, color)].sort((a, b) => a - b);
    const size = parseFloat(fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && fontWeight >= 700);
    found.push([((bright + 0.05) / (dark + 0.05)) * (isLarge ? 1.5 : 1), texts[0].data]);
  }
  return found.sort((a, b) => a[0] - b[0]);
}"""


@dataclass
class Stage:
    """A running Airflow, a browser, and what a user did with them."""

    shown: Show
    browser: Browser
    records: Path
    visits: list[Visit] = field(default_factory=list)
    run: str = ""

    @property
    def visit(self) -> Visit:
        """The first window, where the story goes on."""
        return self.visits[0] if self.visits else self.enter()

    def enter(self, theme: Theme = "light", size: tuple[int, int] = SIZE) -> Visit:
        """Open a window of one's own, and log in."""
        record = self.records / f"{len(self.visits)}.har"
        url = self.shown.airflow.url
        visit = Visit(self.browser, url, theme=theme, size=size, record=record)
        self.visits.append(visit)
        visit.log_in("admin", self.shown.airflow.passwords["admin"])
        return visit


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    assert PROGRAM is not None
    with (
        tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as folder,
        show(Path(folder), days=DAYS) as shown,
        browser(PROGRAM) as running,
    ):
        yield Stage(shown, running, Path(folder))


def test_a_fresh_install_says_how_to_start(stage: Stage) -> None:
    page = stage.visit.open_talkpilot()
    expect(page.get_by_role("heading", name="No calls yet")).to_be_visible()
    links = page.locator("ol").get_by_role("link")
    expect(links).to_have_text(["connection", "variables", DAG])
    links.first.click()
    expect(stage.visit.page).to_have_url(re.compile("/connections$"))


def test_a_connection_is_made_in_the_form(stage: Stage) -> None:
    sandbox, visit = stage.shown.sandbox, stage.visit
    form = visit.new_connection(CONNECTION, {})
    labels = FIELD_BEHAVIOUR["relabeling"]
    for name, label in labels.items():
        shown = form.get_by_label(label, exact=True)
        expect(shown).to_have_attribute("placeholder", FIELD_BEHAVIOUR["placeholders"][name])
    for hidden in ("Schema", "Login"):
        expect(form.get_by_label(hidden, exact=True)).to_have_count(0)
    key = form.get_by_label(labels["password"], exact=True)
    expect(key).to_have_attribute("type", "password")
    values = {"host": sandbox.base_url, "port": f"{sandbox.port}", "password": WRONG_KEY}
    fill_in(form, {labels[name]: value for name, value in values.items()})
    visit.open_extras(form, {conn_fields()["requests_per_hour"]["label"]: "1000"})
    # Airflow's labels are not tied to fields of text.
    form.locator("input[name=element_dashboard_url]").fill(DASHBOARD)
    for option in conn_fields().values():
        expect(form.get_by_text(option["label"], exact=True)).to_be_visible()
        expect(form.get_by_text(option["description"]).first).to_be_visible()
    visit.save(form)
    stored = stage.shown.airflow.get(f"connections/{CONNECTION}")
    assert (stored["conn_type"], stored["host"]) == ("talkpilot", sandbox.base_url)
    assert {k: v for k, v in json.loads(stored["extra"]).items() if v is not None} == {
        "requests_per_hour": 1000,
        "dashboard_url": DASHBOARD,
    }


def test_the_button_says_what_the_hook_says(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox, visit = stage.shown.sandbox, stage.visit
    for key in (WRONG_KEY, sandbox.api_key):
        visit.edit_connection(CONNECTION, {FIELD_BEHAVIOUR["relabeling"]["password"]: key})
        connection = {**sandbox.connection, "password": key, "extra": {"requests_per_hour": 1000}}
        monkeypatch.setenv("AIRFLOW_CONN_THE_SAME", json.dumps(connection))
        is_good, response = TalkPilotHook("the_same").test_connection()
        assert is_good == (key != WRONG_KEY)
        title, said = visit.test_connection(CONNECTION)
        assert title == f"Test Connection {'Successful' if is_good else 'Failed'}"
        assert re.sub(r"req_\w+", "", said) == re.sub(r"req_\w+", "", response)


def test_a_run_of_an_interval_turns_green(stage: Stage) -> None:
    visit, day = stage.visit, stage.shown.days[0]
    form = visit.fill_in_trigger(day, day + timedelta(days=1))
    for param in ("Start", "End", "Details", "Confirm erasure"):
        label = form.locator("label", has_text=re.compile(rf"^{param}\b"))
        expect(label.first).to_be_visible()
    stage.run = visit.trigger(form)
    visit.watch(stage.run, stage.shown.count_tasks())
    truth = stage.shown.sandbox.store.truth(f"{day}", f"{day + timedelta(days=1)}")
    # Performance records have the scores of purged calls, so these cost no detail.
    details = sum(not call["is_purged"] for call in truth)
    for task, wanted in (("load_calls", CALLS_PER_DAY), ("load_details", details)):
        assert stage.shown.airflow.returned(DAG, stage.run, task)["rows"] == wanted


def test_the_tasks_links_lead_to_google_and_to_talkpilot(stage: Stage) -> None:
    load = stage.visit.open_task(stage.run, "load_calls")
    assert set(load) == {"BigQuery table", "BigQuery job"}
    table = parse_qs(urlsplit(load["BigQuery table"]).query)
    assert (table["p"], table["d"], table["t"]) == (["demo"], ["talkpilot"], ["calls"])
    assert "talkpilot-merge-" in load["BigQuery job"]
    extract = stage.visit.open_task(stage.run, "extract_calls")
    assert extract.pop("TalkPilot dashboard") == DASHBOARD
    assert list(extract) == ["Staging"]
    for link in (*load.values(), *extract.values()):
        assert link.startswith("https://console.cloud.google.com/")
    day = stage.shown.days[0]
    folder = f"{BUCKET}/{DAG}/{CONNECTION}/all/{day:%Y%m%d}T"
    assert urlsplit(extract["Staging"]).path.startswith(f"/storage/browser/{folder}"), extract


def test_a_square_of_the_page_leads_to_the_run(stage: Stage) -> None:
    visit, day = stage.visit, stage.shown.days[0]
    page = visit.open_talkpilot()
    squares = page.get_by_role("link", name=f"{day}, ")
    expect(squares).to_have_count(1 + AGENTS)
    for square in squares.all():
        expect(square).to_have_attribute("data-state", "complete")
    assert visit.open_day(page, day) == run_path(stage.run)


@pytest.mark.parametrize(("theme", "size"), [("light", SIZE), ("dark", PHONE)], ids=str)
def test_the_page_reads_well(stage: Stage, theme: Theme, size: tuple[int, int]) -> None:
    visit = stage.enter(theme, size)
    page = visit.open_talkpilot()
    expect(page.locator(f"html[data-theme={theme}]")).to_be_visible()
    page.locator("summary").click()
    root = page.locator("html")
    assert root.evaluate("root => root.scrollWidth <= root.clientWidth")
    faint = [(ratio, text) for ratio, text in root.evaluate(CONTRASTS) if ratio < 4.5]
    assert not faint, faint[:5]


def test_nothing_went_wrong_and_no_key_and_no_caller_is_shown(stage: Stage) -> None:
    secrets = secrets_of(stage.shown.sandbox) | {WRONG_KEY: "a key"}
    texts: set[str] = set()
    for visit in stage.visits:
        assert visit.complaints == []
        texts.update(visit.received())
    # To prove the search: it finds the run and the address.
    received = "\n".join(texts)
    assert stage.run in received
    assert stage.shown.sandbox.base_url in received
    assert found_in(received, secrets) == set()
