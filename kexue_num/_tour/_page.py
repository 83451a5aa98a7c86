"""The tour as one page that needs nothing else: figures are part of it."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path

from kexue_num._tour._report import HEADER, Chapter

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1e293b; max-width: 70rem; margin: 2rem auto;
  padding: 0 1rem }
table { border-collapse: collapse; font-size: 0.85rem; display: block; overflow-x: auto }
th, td { padding: 0.3rem 0.7rem; border-bottom: 1px solid #e2e8f0; text-align: right;
  white-space: nowrap }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left }
td:nth-child(5) { font-weight: 600; color: #c2410c }
figure { margin: 1.5rem 0 } img { max-width: 100% } figcaption { color: #475569 }
details { color: #475569 } .failed { color: #b91c1c; font-weight: 600 }
"""


def write_page(out: Path, chapters: list[Chapter], introduction: str) -> Path:
    """Write report.html."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>A tour of kexue_num</title><style>{_STYLE}</style></head><body>",
        f"<h1>A tour of kexue_num</h1><p>{escape(introduction)}</p>",
        *(_chapter(chapter) for chapter in chapters),
        "</body></html>",
    ]
    page = out / "report.html"
    page.write_text("\n".join(parts), encoding="utf-8")
    return page


def _chapter(chapter: Chapter) -> str:
    lines = [f"<h2>{escape(chapter.title)}</h2><p>{escape(chapter.introduction)}</p>", "<table>"]
    lines.append(_row("th", HEADER))
    lines += [_row("td", row.cells()) for row in chapter.rows]
    lines.append("</table>")
    for path, caption in chapter.figures:
        data = base64.b64encode(path.read_bytes()).decode("ascii")
        image = f'<img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
        lines.append(f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>")
    lines += [f"<p>{escape(remark)}</p>" for remark in chapter.remarks]
    lines += [f'<p class="failed">Failed: {escape(failure)}</p>' for failure in chapter.failures]
    held = "".join(f"<li>{escape(c.statement)}</li>" for c in chapter.checks if c.holds)
    lines.append(f"<details><summary>What was checked</summary><ul>{held}</ul></details>")
    return "\n".join(lines)


def _row(tag: str, cells: tuple[str, ...] | list[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
