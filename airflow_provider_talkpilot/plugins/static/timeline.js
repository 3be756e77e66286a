// The calendar: a column for each day, with bars for calls and requests over rows of states.

import { dayOfMonth, h, interval, longDay, month, number, plural, time, weekday } from "./dom.js";
import { runPath } from "./links.js";
import { STATES, label, meaning } from "./states.js";
import { withTip } from "./tooltip.js";

const FEW_AGENTS = 10;
const FEW_DAYS = 45;
const LABEL_COLUMNS = 3; // a month's name needs so many

export function timeline(data, connection) {
  const rows = [
    axis(data.days),
    ...bars("Calls", data, connection, callBars(connection)),
    ...bars("Requests", data, connection, requestBars(connection)),
  ];
  const agents = connection.agents;
  rows.push(stateRow(data, "All agents", null, connection.days, connection.calls));
  const grid = h("div", { class: "timeline", role: "grid", "aria-label": "Calendar of days" }, rows);
  grid.style.setProperty("--days", data.days.length);
  const add = (some) =>
    grid.append(...some.map((agent) => stateRow(data, agent.name ?? short(agent.id), agent.id, agent.days, agent.calls)));
  add(agents.slice(0, FEW_AGENTS));
  const scroller = h("div", { class: "scroller newest" }, grid);
  move(grid);
  return h("div", {}, scroller, more(agents.slice(FEW_AGENTS), add, connection.agents_left_out));
}

// Newest days first in sight where not all fit.
export function showNewest(root) {
  for (const scroller of root.querySelectorAll(".newest")) scroller.scrollLeft = scroller.scrollWidth;
}

export function legend(connection) {
  const items = Object.keys(STATES)
    .filter((state) => connection.states[state])
    .map((state) =>
      h(
        "li",
        { title: meaning(state) },
        h("span", { class: "cell", "data-state": state, "aria-hidden": "true" }),
        label(state),
        h("b", {}, number(connection.states[state])),
      ),
    );
  return h("ul", { class: "legend", "aria-label": "Days by state" }, items);
}

function more(agents, add, leftOut) {
  const note = leftOut ? h("p", { class: "muted" }, `${plural(leftOut, "more agent")} not shown.`) : null;
  if (!agents.length) return note;
  const button = h("button", { class: "button", type: "button" }, `Show ${plural(agents.length, "more agent")}`);
  button.addEventListener("click", () => {
    add(agents);
    button.replaceWith(note ?? "");
  });
  return button;
}

function short(id) {
  return id.length > 13 ? `${id.slice(0, 8)}…` : id;
}

function axis(days) {
  const names = [];
  const few = days.length <= FEW_DAYS;
  days.forEach((day, index) => {
    const starts = few ? weekday(day) === 1 : day.endsWith("-01") || index === 0;
    const last = names.at(-1);
    if (!starts) return;
    if (last && index - last.index < LABEL_COLUMNS) names.pop();
    names.push({ index, text: few ? dayOfMonth(day) : month(day) });
  });
  return h(
    "div",
    { class: "axis", "aria-hidden": "true" },
    h("span", { class: "head" }),
    names.map(({ index, text }) => {
      const name = h("span", { class: "month" }, text);
      name.style.gridColumn = `${index + 2} / span ${Math.min(LABEL_COLUMNS + 1, days.length - index)}`;
      return name;
    }),
  );
}

// Bars

function callBars({ days }) {
  return {
    unit: "by day of the call",
    kinds: [
      ["with-details", "with details"],
      ["without-details", "without"],
    ],
    values: days.map((day) => [day.details ?? 0, (day.calls ?? 0) - (day.details ?? 0)]),
    marks: [],
    tip: (day) =>
      day.calls === undefined
        ? []
        : [
            ["Calls", number(day.calls)],
            ["With details", number(day.details)],
          ],
  };
}

function requestBars({ requests }) {
  return {
    unit: "by day spent",
    kinds: [
      ["details", "details"],
      ["performance", "performance"],
      ["lists", "lists"],
      ["least", "least possible"],
    ],
    values: requests.days.map((day) => [day.details, day.performance, day.lists]),
    marks: requests.days.map((day) => day.least),
    tip: (_, index) => requestFacts(requests.days[index]),
  };
}

export function requestFacts(day) {
  const spent = day.lists + day.details + day.performance;
  if (!spent) return [["Requests", "0"]];
  return [
    ["Requests", number(spent)],
    ["Lists", number(day.lists)],
    ["Details", number(day.details)],
    ["Performance records", number(day.performance)],
    ["Transcripts by webhook", number(day.by_webhook)],
    ["Without webhooks and records", number(day.without)],
    ["Least possible", number(day.least)],
  ];
}

function bars(name, data, connection, { unit, kinds, values, marks, tip }) {
  const highest = Math.max(1, ...values.map((parts) => parts.reduce((a, b) => a + b, 0)), ...marks);
  const keys = kinds.map(([kind, text]) => h("li", {}, h("i", { class: `key ${kind}` }), text));
  const head = h(
    "div",
    { class: "head bars-head", role: "rowheader" },
    h("strong", {}, name),
    h("span", { class: "muted unit" }, unit),
    h("ul", { class: "keys" }, keys),
    h("span", { class: "muted highest" }, number(highest)),
  );
  const columns = values.map((parts, index) => {
    const segments = parts.map((value, kind) => {
      const segment = h("i", { class: kinds[kind][0] });
      segment.style.height = `${(100 * value) / highest}%`;
      return segment;
    });
    if (marks[index]) {
      const mark = h("i", { class: "least" });
      mark.style.bottom = `${(100 * marks[index]) / highest}%`;
      segments.push(mark);
    }
    const facts = tip(connection.days[index], index);
    const said = facts.map(([what, value]) => `${what} ${value}`).join(", ") || "no figures";
    const bar = h(
      "span",
      { class: "bar", tabindex: "-1", role: "img", "aria-label": `${longDay(data.days[index])}: ${said}` },
      segments,
    );
    withTip(bar, () => card(longDay(data.days[index]), null, facts));
    return h("div", { role: "gridcell", class: "bar-cell" }, bar);
  });
  return [h("div", { class: "row", role: "row" }, head, columns)];
}

// States

function stateRow(data, name, id, days, calls) {
  const head = h(
    "div",
    { class: id ? "head agent" : "head", role: "rowheader", title: id ? `${name}\nAgent ${id}` : null },
    h("span", { class: "name" }, name),
    h("span", { class: "muted count", title: "Calls of the days shown" }, calls === undefined ? "" : number(calls)),
  );
  const cells = days.map((day, index) => {
    const outcome = data.outcomes[day.outcome];
    const facts = cellFacts(data, day, outcome);
    const who = id ? `agent ${name}` : "all agents";
    const text = [`${longDay(data.days[index])}, ${who}: ${label(day.state)}`, ...facts.map((f) => f.join(" "))];
    const attributes = {
      class: "cell",
      "data-state": day.state,
      "data-walking": Boolean(day.walking) && day.state !== "running",
      tabindex: "-1",
      "aria-label": text.join(". "),
    };
    const cell = outcome
      ? h("a", { ...attributes, href: runPath(outcome) })
      : h("span", { ...attributes, role: "img" });
    const title = id ? `${longDay(data.days[index])}, agent ${name}` : longDay(data.days[index]);
    withTip(cell, () => card(title, day.state, facts, outcome && "Opens the DAG run"));
    return h("div", { role: "gridcell" }, cell);
  });
  return h("div", { class: "row", role: "row" }, head, cells);
}

function cellFacts(data, day, outcome) {
  const facts = [];
  if (day.calls !== undefined) {
    facts.push(["Calls", number(day.calls)], ["With details", number(day.details)]);
  }
  if (outcome) {
    const days = new Date(outcome.end) - new Date(outcome.start);
    if (days !== 86400000) facts.push(["Interval", interval(outcome.start, outcome.end)]);
    if (outcome.state === "running" && outcome.calls_loaded) facts.push(["So far", "calls are loaded, details are not"]);
    for (const [title, counts] of [["Did not fit", outcome.drift], ["Recordings", outcome.recordings]]) {
      const told = Object.entries(counts).map(([name, calls]) => `${name} ${number(calls)}`);
      if (told.length) facts.push([title, told.join(", ")]);
    }
    if (outcome.failed_task) facts.push(["Failed task", outcome.failed_task]);
    if (outcome.state === "failed" && outcome.calls_loaded) facts.push(["So far", "calls are loaded, details are not"]);
    facts.push([outcome.state === "running" ? "Since" : "Ended", time(outcome.at)]);
    facts.push(["DAG", outcome.dag_id], ["Run", outcome.run_id]);
  }
  const before = data.outcomes[day.before];
  if (before) facts.push(["Loaded before", time(before.at)]);
  if (day.walking && day.state !== "running") facts.push(["Now", "a run works on it"]);
  return facts;
}

function card(title, state, facts, hint) {
  return h(
    "div",
    {},
    h("strong", {}, title),
    state
      ? h(
          "p",
          {},
          h("span", { class: "cell", "data-state": state, "aria-hidden": "true" }),
          h("b", {}, label(state)),
          h("span", { class: "muted" }, meaning(state)),
        )
      : null,
    facts.length ? h("dl", {}, facts.map(([what, value]) => [h("dt", {}, what), h("dd", {}, value)])) : null,
    hint ? h("p", { class: "muted hint" }, hint) : null,
  );
}

// Arrow keys move between days and rows; Tab goes past the calendar.
function move(grid) {
  const table = () =>
    [...grid.querySelectorAll("[role=row]")].map((row) => [...row.querySelectorAll("[role=gridcell] > *")]);
  const enter = (cells) => {
    grid.querySelector("[tabindex='0']")?.setAttribute("tabindex", "-1");
    cells?.setAttribute("tabindex", "0");
  };
  enter(table().find((row) => row[0]?.classList.contains("cell"))?.at(-1));
  grid.addEventListener("focusin", (event) => enter(event.target));
  grid.addEventListener("keydown", (event) => {
    const rows = table();
    const y = rows.findIndex((row) => row.includes(document.activeElement));
    if (y < 0) return;
    const x = rows[y].indexOf(document.activeElement);
    const to = {
      ArrowLeft: [x - 1, y],
      ArrowRight: [x + 1, y],
      ArrowUp: [x, y - 1],
      ArrowDown: [x, y + 1],
      Home: [0, y],
      End: [rows[y].length - 1, y],
      PageUp: [x - 7, y],
      PageDown: [x + 7, y],
    }[event.key];
    if (!to) return;
    event.preventDefault();
    rows[to[1]]?.[Math.min(Math.max(to[0], 0), rows[y].length - 1)]?.focus();
  });
}
