"""MkDocs's hooks: they add pages from outside docs/ to the site, and change links to them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "airflow_provider_talkpilot"
# Files of the repository that are pages of the site.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
LINK = re.compile(r"(!?)\[([^\[\]]*)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Any, *, config: Any) -> Any:
    """Add the repository's own pages, and the reference from docstrings."""
    for source, page in PAGES.items():
        text = _linked((ROOT / source).read_text(encoding="utf-8"), ROOT)
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, "reference.md", content=_reference()))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Point links that leave docs/ to pages of the site."""
    return _linked(markdown, ROOT / "docs") if page.file.abs_src_path else markdown


def on_page_content(html: str, **_: Any) -> str:
    """Remove markup of docstrings that only Sphinx understands."""
    return re.sub(r":(?:class|func|meth|mod):(?=<code>)|<p>\.\. code-block:: \w+</p>", "", html)


def _linked(text: str, folder: Path) -> str:
    def link(found: re.Match[str]) -> str:
        image, words, path, anchor = found.groups()
        target = (folder / path).resolve().relative_to(ROOT).as_posix()
        if words.endswith(".md"):  # a file's name in the repository, a page's title here
            words = (ROOT / target).read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
        if target.startswith("docs/"):
            return f"{image}[{words}]({target.removeprefix('docs/')}{anchor or ''})"
        if target in PAGES:
            return f"[{words}]({PAGES[target]}{anchor or ''})"
        return f"{words} (`{target}` in the repository)"

    return LINK.sub(link, text)


def _reference() -> str:
    """Write one heading for each public name of docs/api.md."""
    lines = ["# Reference", "", "What [the Python API](api.md) lists, from its docstrings.", ""]
    table = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name, module in re.findall(r"^\| `(\w+)` \| `([\w.]+)` \|", table, re.MULTILINE):
        lines += [f"::: {PACKAGE}.{module}.{name}", ""]
    return "\n".join(lines)
