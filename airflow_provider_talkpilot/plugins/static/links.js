// Links to Airflow's own pages. Airflow shows this page in a sandboxed frame, where a link can
// open neither the page around it nor a tab. So a link of the page around it is followed instead.

import { h } from "./dom.js";

export function runPath(outcome) {
  return `../dags/${encodeURIComponent(outcome.dag_id)}/runs/${encodeURIComponent(outcome.run_id)}`;
}

export function dagPath(dagId) {
  return `../dags/${encodeURIComponent(dagId)}`;
}

export function runLink(outcome) {
  const title = `${outcome.dag_id}, ${outcome.run_id}`;
  return h("a", { href: runPath(outcome), title }, runName(outcome.run_id));
}

// Airflow's own names without seconds and zone, as there is little room; others as they are.
function runName(id) {
  const [, kind, day, minute] = id.match(/^([a-z_]+)__(\d{4}-\d\d-\d\d)T(\d\d:\d\d)/) ?? [];
  return kind ? `${kind.replaceAll("_", " ")} ${day} ${minute}` : id;
}

function isFramed() {
  try {
    return window.parent !== window && Boolean(window.parent.document);
  } catch {
    return false;
  }
}

function follow(event) {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button > 1) return;
  if (link.getAttribute("href").startsWith("?")) return; // stays on this page
  event.preventDefault();
  const around = window.parent.document;
  const other = around.createElement("a");
  other.href = link.href;
  other.rel = "noopener";
  if (event.button === 1 || event.ctrlKey || event.metaKey || event.shiftKey) {
    other.target = "_blank";
  }
  around.body.append(other);
  other.click();
  other.remove();
}

export function followLinks() {
  if (!isFramed()) return;
  document.addEventListener("click", follow);
  document.addEventListener("auxclick", follow);
}
