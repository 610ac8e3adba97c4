"""Log lines on standard error for people who have tieline run by a scheduler: what happens in a run, with the ids that the journal has.

A line names integration, run, delivery, call and record; request, answer and the vendor's words stay in the store, where `tieline calls` and
`tieline dead-letters` show them, because logs travel further. Every text is masked once more on its way out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog

from tieline.model.events import Event, WebhookEvent
from tieline.model.secret import Redactor
from tieline.model.shown import shown, shown_json

_TEXT: Final = structlog.processors.LogfmtRenderer(bool_as_flag=False)
_JSON: Final = structlog.processors.JSONRenderer(ensure_ascii=False)


def listener(form: str, redactor: Redactor) -> Callable[[Event | WebhookEvent], None]:
    """Return what writes a line for each event: `json`, or `text` as `name key=value`."""
    logger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _in_order,
            _as_json if form == "json" else _as_text,
        ],
        wrapper_class=structlog.BoundLogger,
        cache_logger_on_first_use=True,
    )

    def write(event: Event | WebhookEvent) -> None:
        details = {key: value for key, value in msgspec.to_builtins(event).items() if value not in (None, (), [], "")}
        details = redactor.clean(details)
        logger.msg(event.name, level="warning" if event.grave else "info", **details)

    return write


def _in_order(logger: Any, method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {"event": line.pop("event"), "timestamp": line.pop("timestamp"), **line}


def _as_text(logger: Any, method: str, line: structlog.typing.EventDict) -> str:
    name = line.pop("event")
    flat: dict[str, Any] = {}
    for key, value in line.items():
        if isinstance(value, dict):
            flat.update(value)
        else:
            flat[key] = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else value
    return shown(f"{name} {_TEXT(logger, method, flat)}")


def _as_json(logger: Any, method: str, line: structlog.typing.EventDict) -> str:
    return shown_json(str(_JSON(logger, method, line)))
