// Elements and texts. Data goes into text nodes and attributes only, never into markup.

const NUMBER = new Intl.NumberFormat("en");

export function h(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

export function number(value) {
  return NUMBER.format(value);
}

export function plural(value, word) {
  return `${number(value)} ${word}${value === 1 ? "" : "s"}`;
}

export function percent(part, whole) {
  if (!whole) return "–";
  const share = (100 * part) / whole;
  if (share > 0 && share < 0.1) return "under 0.1\u00a0%";
  // 99.96 % is not all of it.
  return `${share < 10 || share > 99 ? Math.floor(share * 10) / 10 : Math.round(share)}\u00a0%`;
}

// Days and times as Airflow writes them, in UTC.

const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const MIDNIGHT = "T00:00:00Z";

export function longDay(day) {
  return `${WEEKDAYS[weekday(day)]} ${day}`;
}

export function weekday(day) {
  return new Date(day).getUTCDay();
}

export function month(day) {
  return MONTHS[Number(day.slice(5, 7)) - 1];
}

export function dayOfMonth(day) {
  return `${Number(day.slice(8, 10))} ${month(day)}`;
}

export function time(moment) {
  return moment.slice(0, 16).replace("T", " ");
}

// An interval as people say it: whole days without their midnights.
export function interval(start, end) {
  if (!start.endsWith(MIDNIGHT) || !end.endsWith(MIDNIGHT)) return `${time(start)} to ${time(end)}`;
  const last = new Date(new Date(end) - 1).toISOString().slice(0, 10);
  const first = start.slice(0, 10);
  if (first === last) return first;
  return `${first} to ${first.slice(0, 4) === last.slice(0, 4) ? last.slice(5) : last}`;
}
