"""Alerts: messages to the services named by `TCELL_ALERTS`, and what became of the last one."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from upath import UPath

from tcell_assets.system.files import write_atomically

RECORD = "alerts.json"


class AlertError(RuntimeError):
    """A message did not reach everybody it was meant for; the text names whom, without passwords."""


@dataclass(frozen=True)
class Delivery:
    """The last message: when it was sent (seconds since 1970), its title, and what went wrong, empty if nothing."""

    at: float
    title: str
    problem: str


def send(folder: Path, urls: Sequence[str], title: str, body: str) -> None:
    """Send a message to every service, and note in `folder` what became of it.

    Args:
        folder: Where the note lies, DAGSTER_HOME.
        urls: Services as Apprise writes them, e.g. `slack://…`, `mailto://…`, `json://host:port`.
        title: One line.
        body: Plain text.

    Raises:
        AlertError: apprise is not installed, no service is named, or one of them was not reached. Those that could be
            reached have the message.
    """
    problem = "; ".join(_problems(urls, title, body))
    record = json.dumps(asdict(Delivery(time.time(), title, problem)))
    write_atomically(UPath(folder / RECORD), record.encode())
    if problem:
        raise AlertError(problem)


def last_delivery(folder: Path) -> Delivery | None:
    """Return what became of the last message, None before the first."""
    try:
        return Delivery(**json.loads((folder / RECORD).read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        return Delivery(0.0, "", f"{folder / RECORD} cannot be read ({error}); run `tcell alerts test`")


def _problems(urls: Sequence[str], title: str, body: str) -> list[str]:
    if not urls:
        return ["TCELL_ALERTS names no service; set it to one or more Apprise URLs, separated by spaces"]
    try:
        import apprise
    except ImportError:
        return ['alerts need apprise: run `make install`, or pip install "tcell-assets[alerts]"']
    problems = []
    for number, url in enumerate(urls, start=1):
        service = apprise.Apprise.instantiate(url)
        if service is None:
            problems.append(
                f"URL {number} of TCELL_ALERTS is none that Apprise knows; see its list of services"
            )
            continue
        # Title and text are data: a batch named `<b>` or `*x*` must arrive as it is.
        with apprise.LogCapture(level=apprise.logging.WARNING, fmt="%(message)s") as log:
            reached = service.notify(body=body, title=title, body_format=apprise.NotifyFormat.TEXT)
            said = " ".join(log.getvalue().split())
        if not reached:
            address = service.url(privacy=True).partition("?")[0]
            problems.append(f"{address} did not take the message{f' ({said})' if said else ''}")
    return problems
