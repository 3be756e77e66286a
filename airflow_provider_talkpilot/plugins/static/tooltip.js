// One tooltip for all cells and bars, by mouse, keyboard and touch.

import { h } from "./dom.js";

const GAP = 8;
const tip = h("div", { class: "tip", role: "tooltip", id: "tip", hidden: true });
let owner = null;

function show(node, content) {
  owner = node;
  tip.replaceChildren(content());
  tip.hidden = false;
  node.setAttribute("aria-describedby", "tip");
  const box = node.getBoundingClientRect();
  const own = tip.getBoundingClientRect();
  const left = Math.min(
    Math.max(GAP, box.left + box.width / 2 - own.width / 2),
    document.documentElement.clientWidth - own.width - GAP,
  );
  const above = box.top - own.height - GAP;
  tip.style.left = `${Math.max(GAP, left)}px`;
  tip.style.top = `${above >= GAP ? above : box.bottom + GAP}px`;
}

function hide() {
  owner?.removeAttribute("aria-describedby");
  owner = null;
  tip.hidden = true;
}

// content() is called when it is needed, and gives a node.
export function withTip(node, content) {
  node.addEventListener("mouseenter", () => show(node, content));
  node.addEventListener("focus", () => show(node, content));
  node.addEventListener("mouseleave", hide);
  node.addEventListener("blur", hide);
  return node;
}

export function startTips() {
  document.body.append(tip);
  addEventListener("scroll", hide, { capture: true, passive: true });
  addEventListener("keydown", (event) => event.key === "Escape" && hide());
}
