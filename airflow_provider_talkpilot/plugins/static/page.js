// Draws the page from ../overview, which plugins/overview/page.py makes.

import { h, interval, longDay, number, percent, plural, time } from "./dom.js";
import { dagPath, followLinks, runLink } from "./links.js";
import { label } from "./states.js";
import { legend, showNewest, timeline } from "./timeline.js";
import { startTips } from "./tooltip.js";

const RANGES = [30, 90, 180, 365];
const AGAIN_SECONDS = 30;
const DAILY_DAG = "talkpilot_calls_to_bigquery";

const query = new URLSearchParams(location.search);
const days = Number(query.get("days")) || 90;
const main = document.getElementById("main");

async function read() {
  const response = await fetch(`overview?days=${encodeURIComponent(days)}`);
  if (response.ok) return response.json();
  if (response.status === 401) throw new Error("You are logged out. Log in again, then reload this page.");
  if (response.status === 403) throw new Error("You may not see this page: it needs the permission to read plugins.");
  if (response.status === 422) throw new Error("The range of days in the address is not possible.");
  throw new Error(`Airflow could not read the figures (status ${response.status}). Its API server's log says why.`);
}

function address(changes) {
  const to = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes)) to.set(name, value);
  return `?${to}`;
}

function controls(data, shown) {
  const ranges = RANGES.map((range) =>
    h(
      "a",
      { href: address({ days: range }), "aria-current": range === days ? "true" : null },
      `${range} days`,
    ),
  );
  const parts = [h("div", { class: "segments", role: "group", "aria-label": "Range" }, ranges)];
  if (data.connections.length > 1) {
    const options = data.connections.map(({ id }) =>
      h("option", { value: id, selected: id === shown.id }, id),
    );
    const select = h("select", { id: "connection" }, options);
    select.addEventListener("change", () => location.assign(address({ connection: select.value })));
    parts.unshift(h("label", { class: "select" }, h("span", {}, "Connection"), select));
  }
  document.getElementById("controls").replaceChildren(...parts);
}

// Figures at the top

function tile(name, value, note, extra) {
  return h(
    "section",
    { class: "tile card" },
    h("h2", {}, name),
    h("p", { class: "value" }, value),
    note ? h("p", { class: "muted" }, note) : null,
    extra ?? null,
  );
}

function completeness(data, connection) {
  const known = connection.days.findIndex((day) => !["never", "open", "absent"].includes(day.state));
  if (known < 0) return tile("Complete days", "0", "No day of this range is in the table yet.");
  const counted = connection.days.slice(known).filter((day) => !["open", "absent"].includes(day.state));
  const complete = counted.filter((day) => day.state === "complete").length;
  const since = known > 0 ? `since ${data.days[known]}, the first day walked` : `of the last ${days} days`;
  return tile(
    "Complete days",
    [number(complete), h("small", {}, ` of ${number(counted.length)}`)],
    since,
    meter(complete, counted.length, "Complete days"),
  );
}

function meter(value, most, name) {
  const bar = h("i");
  bar.style.width = `${Math.min(100, (100 * value) / most)}%`;
  const attributes = { class: "meter", role: "meter", "aria-label": name };
  return h("div", { ...attributes, "aria-valuemin": 0, "aria-valuemax": most, "aria-valuenow": value }, bar);
}

function quota({ today, hour_limit: limit }) {
  if (!limit) {
    return tile("Requests today", number(today), "No hourly limit is set in the connection, so the share is not known.");
  }
  const plan = 24 * limit;
  return tile(
    "Requests today",
    [number(today), h("small", {}, ` of ${number(plan)}`)],
    `${percent(today, plan)} of a day at ${number(limit)} an hour, the connection's own limit`,
    meter(today, plan, "Requests of today's quota"),
  );
}

const RULES = {
  until_complete: "until each has its transcript and score",
  every_version: "of every version of a call",
};

function tiles(data, connection) {
  const { lists, details, performance, least, rule, by_webhook: byWebhook, without } = connection.requests;
  const spent = lists + details + performance;
  return h(
    "div",
    { class: "tiles" },
    completeness(data, connection),
    tile(
      "Calls",
      number(connection.calls),
      `${number(connection.details)} with details (${percent(connection.details, connection.calls)})`,
    ),
    tile(
      "Requests",
      number(spent),
      least
        ? `${(spent / least).toFixed(2)} × the least possible (${number(least)}); details ${RULES[rule] ?? "were not requested"}`
        : "none in this range",
    ),
    tile(
      "By purpose",
      [number(lists), h("small", {}, " lists, "), number(details), h("small", {}, " details, "), number(performance), h("small", {}, " records")],
      byWebhook
        ? `${plural(byWebhook, "transcript")} came by webhook; without webhooks and records, ${number(without)} requests`
        : "no transcript came by webhook",
    ),
    quota(connection.quota),
    tile(
      "Purged and erased",
      [number(connection.purged), h("small", {}, " purged, "), number(connection.erased), h("small", {}, " erased")],
      "calls that runs of this range found emptied by TalkPilot, or deleted there",
    ),
  );
}

// Tables

function table(heads, rows, attributes = {}) {
  return h(
    "div",
    { class: "scroller" },
    h(
      "table",
      attributes,
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col", class: head.startsWith("#") ? "number" : null }, head.replace("#", ""))))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((value, index) => h("td", { class: heads[index].startsWith("#") ? "number" : null }, value))))),
    ),
  );
}

function events(data, connection) {
  const rows = connection.events.map((event) => {
    const outcome = data.outcomes[event.outcome];
    return [time(outcome.at), interval(outcome.start, outcome.end), number(event.purged), number(event.erased), runLink(outcome)];
  });
  const left = connection.events_left_out;
  return h(
    "section",
    { class: "card" },
    h("h2", {}, "Latest purges and erasures"),
    rows.length
      ? table(["Found", "Interval", "#Purged", "#Erased", "Run"], rows)
      : h("p", { class: "muted" }, "No run of this range found a call that was purged or erased."),
    left ? h("p", { class: "muted" }, `${number(left)} earlier not shown.`) : null,
  );
}

function resyncs(data, connection) {
  const rows = connection.resyncs.map(({ reason, outcome: index }) => {
    const outcome = data.outcomes[index];
    const state = h("span", { class: "state" }, h("span", { class: "cell", "data-state": outcome.state }), label(outcome.state));
    return [reason, time(outcome.at), interval(outcome.start, outcome.end), state, runLink(outcome)];
  });
  return h(
    "section",
    { class: "card" },
    h("h2", {}, "Last re-syncs"),
    rows.length
      ? table(["Reason", "Ended", "Interval", "State", "Run"], rows)
      : h("p", { class: "muted" }, "No re-sync ran in this range. A re-sync reads past days again, so that edits, late scores and purges arrive."),
  );
}

function asTable(data, connection) {
  const rows = data.days
    .map((day, index) => {
      const cell = connection.days[index];
      const { lists, details, performance, least } = connection.requests.days[index];
      const outcome = data.outcomes[cell.outcome];
      const state = h("span", { class: "state" }, h("span", { class: "cell", "data-state": cell.state }), label(cell.state));
      const or = (value) => (value === undefined ? "–" : number(value));
      return [longDay(day), state, or(cell.calls), or(cell.details), number(lists + details + performance), number(least), outcome ? runLink(outcome) : "–"];
    })
    .reverse();
  const heads = ["Day", "State", "#Calls", "#With details", "#Requests spent", "#Least possible", "Run"];
  const details = h("details", { class: "card" }, h("summary", {}, h("h2", {}, "Day by day, as a table")));
  details.addEventListener("toggle", () => details.append(table(heads, rows)), { once: true });
  return details;
}

// The whole

function notes(data) {
  const found = [];
  if (data.truncated) found.push("There are more runs than are read at once: the oldest of this range are left out.");
  if (data.unplaced) {
    found.push(`${plural(data.unplaced, "walk")} failed before the interval was known, and cannot be shown on a day.`);
  }
  if (data.unreadable) {
    found.push(
      `Airflow's XCom backend could not read what ${plural(data.unreadable, "task")} left. Days can look not walked, or older than they are. ` +
        "The API server needs the backend and its credentials, as workers have them; its log says more.",
    );
  }
  return found.map((text) => h("p", { class: "notice", role: "note" }, text));
}

function empty(data) {
  const step = (title, ...text) => h("li", {}, h("strong", {}, title), h("span", { class: "muted" }, ...text));
  const code = (text) => h("code", {}, text);
  return h(
    "section",
    { class: "card empty" },
    h("img", { src: "static/icon.svg", alt: "", width: 48, height: 48 }),
    h("h2", {}, data.has_runs ? "Nothing to show yet" : "No calls yet"),
    h(
      "p",
      { class: "muted" },
      "Once a DAG with the TalkPilot operators has run, this page shows which days are in the table, and what they cost in requests.",
    ),
    h(
      "ol",
      {},
      step("Connect. ", "Create a ", h("a", { href: "../connections" }, "connection"), " of the type TalkPilot with the API's address and key."),
      step("Choose a destination. ", "Set the ", h("a", { href: "../variables" }, "variables"), " ", code("talkpilot_staging_uri"), ", ", code("talkpilot_bigquery_table"), " and ", code("talkpilot_bigquery_location"), "."),
      step("Start. ", "Unpause the DAG ", h("a", { href: dagPath(DAILY_DAG) }, DAILY_DAG), ". Its first run loads yesterday's calls."),
    ),
    h("p", { class: "muted small" }, "Runs of DAGs that you may not read are not shown."),
  );
}

function draw(data) {
  const wanted = query.get("connection");
  const connection = data.connections.find(({ id }) => id === wanted) ?? data.connections[0];
  main.setAttribute("aria-busy", "false");
  if (!connection) {
    main.replaceChildren(...notes(data), ...(data.unreadable ? [] : [empty(data)]));
    return;
  }
  controls(data, connection);
  main.replaceChildren(
    ...notes(data),
    tiles(data, connection),
    h(
      "section",
      { class: "card" },
      h("div", { class: "card-head" }, h("h2", {}, "Days"), legend(connection)),
      timeline(data, connection),
    ),
    h("div", { class: "pair" }, events(data, connection), resyncs(data, connection)),
    asTable(data, connection),
    h("footer", { class: "muted" }, `Connection ${connection.id}. All days and times are UTC. Read ${time(data.read_at)}.`),
  );
  showNewest(main);
}

function failed(error) {
  const again = h("button", { class: "button", type: "button" }, "Try again");
  again.addEventListener("click", () => location.reload());
  main.setAttribute("aria-busy", "false");
  main.replaceChildren(h("section", { class: "card empty", role: "alert" }, h("h2", {}, "No figures"), h("p", {}, error.message), again));
}

// While a run works the page is read again, unless the keyboard is in use on it.
function keepFresh(data) {
  const busy = data.connections.some(({ days: all }) => all.some((day) => day.state === "running" || day.walking));
  if (!busy) return;
  setTimeout(async () => {
    if (document.hidden || main.contains(document.activeElement)) return keepFresh(data);
    const fresh = await read().catch(() => data);
    if (fresh !== data) draw(fresh);
    keepFresh(fresh);
  }, 1000 * AGAIN_SECONDS);
}

addEventListener("resize", () => showNewest(main));
followLinks();
startTips();
try {
  const data = await read();
  draw(data);
  keepFresh(data);
} catch (error) {
  failed(error);
}
