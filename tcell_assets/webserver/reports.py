"""The page at `/reports/`: every report that has been written, newest first."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from pathlib import Path
from urllib.parse import quote

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Reports</title><style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; padding: .3rem .6rem; border-bottom: 1px solid; }}
</style></head><body><h1>Reports</h1>{content}</body></html>
"""
NONE_YET = "<p>No report has been written yet; the job <code>screen</code> or <code>tcell report</code> makes one.</p>"


def reports_page(folder: Path) -> str:
    """Return the page as HTML: a link, the time and the size of every report below `folder`."""
    files = sorted(folder.rglob("*.html"), key=lambda file: (-file.stat().st_mtime, str(file)))
    rows = []
    for file in files:
        address = file.relative_to(folder).as_posix()
        written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        rows.append(
            f'<tr><td><a href="/reports/{quote(address)}">{escape(address.removesuffix(".html"))}</a></td>'
            f"<td>{written:%Y-%m-%d %H:%M} UTC</td><td>{file.stat().st_size / 2**20:.1f} MiB</td></tr>"
        )
    head = "<thead><tr><th>report</th><th>written</th><th>size</th></tr></thead>"
    return PAGE.format(content=f"<table>{head}<tbody>{''.join(rows)}</tbody></table>" if rows else NONE_YET)
