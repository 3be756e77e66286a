// Runs before anything is drawn: Airflow's light or dark, its font and its neutral colours.
// Inside Airflow they are read from the page around this one; alone, from what Airflow stored.
"use strict";

(() => {
  const root = document.documentElement;
  const TOKENS = {
    "--bg": "--chakra-colors-bg",
    "--bg-subtle": "--chakra-colors-bg-subtle",
    "--bg-muted": "--chakra-colors-bg-muted",
    "--fg": "--chakra-colors-fg",
    "--fg-muted": "--chakra-colors-fg-muted",
    "--accent": "--chakra-colors-brand-solid",
    "--accent-fg": "--chakra-colors-brand-fg",
    "--accent-contrast": "--chakra-colors-brand-contrast",
    "--font": "--chakra-fonts-body",
  };

  function host() {
    try {
      return window.parent === window ? null : window.parent.document.documentElement;
    } catch {
      return null; // framed by another site
    }
  }

  function stored() {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null;
    }
  }

  function mode(around) {
    for (const name of ["dark", "light"]) {
      if (around?.classList.contains(name)) return name;
    }
    const kept = stored();
    if (kept === "dark" || kept === "light") return kept;
    return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }

  function apply() {
    const around = host();
    const theme = (root.dataset.theme = mode(around));
    const style = around && window.parent.getComputedStyle(around);
    // Airflow's borders are hardly to be seen on its dark ground.
    const border = `--chakra-colors-border${theme === "dark" ? "-emphasized" : ""}`;
    for (const [own, theirs] of Object.entries({ ...TOKENS, "--border": border })) {
      const value = style?.getPropertyValue(theirs).trim();
      if (value) root.style.setProperty(own, value);
      else root.style.removeProperty(own);
    }
  }

  apply();
  const around = host();
  if (around) {
    const options = { attributes: true, attributeFilter: ["class", "style", "data-theme"] };
    new MutationObserver(apply).observe(around, options);
  }
  addEventListener("storage", apply);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
})();
