"""Logs: one line per event, JSON in production, without personal data.

What must never reach a log is removed here, once, for our own events and for those of libraries:

* addresses are logged as routes (``doctors/<slug:slug>/``), never as paths or with a query;
* an exception is logged as its type and where it happened, never with its text, because texts
  quote values ("Duplicate entry 'alice@example.org' …"); with DEBUG on they are kept;
* what looks like an e-mail address is masked;
* control characters are escaped, so that no input can start a new line or paint a terminal.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

EMAIL = re.compile(r"[^\s@<>\"'(),;:=]+@[^\s@<>\"'(),;:=]+")
CONTROL = {code: f"\\x{code:02x}" for code in [*range(32), *range(127, 160)]} | {
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}
FRAMES = 12  # the innermost ones say where it broke


def clean(text: str) -> str:
    """``text`` on one line, without e-mail addresses."""
    return EMAIL.sub("[e-mail]", text).translate(CONTROL)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(key)): _cleaned(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_cleaned(part) for part in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return clean(str(value))


def clean_values(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {
        key: value if key.startswith("_") or key == "traceback" else _cleaned(value)
        for key, value in event.items()
    }


def frames_of(error: BaseException) -> list[str]:
    """``file:line function`` of the innermost frames, without source lines or values."""
    found = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in found]


def type_name(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


class DescribeException:
    """Replaces ``exc_info`` by type and frames; ``texts`` keeps the whole traceback (DEBUG)."""

    def __init__(self, *, texts: bool) -> None:
        self.texts = texts

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        info = event.pop("exc_info", None)
        event.pop("stack_info", None)
        if info is True:
            info = sys.exc_info()
        error = info[1] if isinstance(info, tuple) else info
        if isinstance(error, BaseException):
            event["exception"] = type_name(error)
            if self.texts:
                event["traceback"] = "".join(traceback.format_exception(error))
            else:
                event["frames"] = frames_of(error)
                cause = error.__cause__ or error.__context__
                if cause is not None:
                    event["cause"] = type_name(cause)
        return event


class WithoutValues(logging.Filter):
    """Rewrites Django's own request records, whose text quotes paths, hosts and Referers."""

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        # Only the logger's name is kept as the event: it says which kind of refusal it was.
        record.msg, record.args = record.name, ()
        if request is not None:
            record.route = route_of(request)
            record.method = clean(str(getattr(request, "method", ""))[:16])
        return True


def route_of(request: Any) -> str:
    """The pattern that matched, such as ``doctors/<slug:slug>/``; "-" when none did."""
    match = getattr(request, "resolver_match", None)
    return match.route if match is not None else "-"


class PlainLine:
    """For a developer's terminal: time, level, event, then key=value."""

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> str:
        when = str(event.pop("timestamp", ""))[11:19]
        level = str(event.pop("level", "")).upper()
        text = str(event.pop("event", ""))
        trace = event.pop("traceback", "")
        event.pop("logger", None)
        rest = " ".join(f"{key}={value}" for key, value in event.items())
        return f"{when} {level:<7} {text} {rest}".rstrip() + (f"\n{trace}" if trace else "")


def configure(*, level: str, plain: bool, exception_texts: bool = False) -> dict[str, Any]:
    """Sets structlog up and returns Django's LOGGING; both write the same lines to stderr.

    ``plain``: readable lines rather than JSON. ``exception_texts``: whole tracebacks (DEBUG only).
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(
            allow={"status_code", "route", "method", "task", "job", "number"}
        ),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        DescribeException(texts=exception_texts),
        clean_values,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    quiet = "WARNING" if level in {"DEBUG", "INFO"} else level
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"without_values": {"()": WithoutValues}},
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    PlainLine() if plain else structlog.processors.JSONRenderer(),
                ],
            }
        },
        "handlers": {
            "lines": {"class": "logging.StreamHandler", "formatter": "line"},
            "requests": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "filters": ["without_values"],
            },
        },
        "root": {"handlers": ["lines"], "level": level},
        "loggers": {
            # Propagating records skip the filters of parent loggers, but not those of handlers.
            "django": {"handlers": ["lines"], "level": level, "propagate": False},
            # `clinic.middleware.RequestLog` writes these, with the route in place of the path.
            "django.request": {"handlers": ["requests"], "level": "CRITICAL", "propagate": False},
            "django.security": {"handlers": ["requests"], "level": level, "propagate": False},
            # These quote values (SQL parameters, template variables, paths with their query).
            "django.db.backends": {"level": quiet},
            "django.template": {"level": quiet},
            "django.server": {"handlers": ["lines"], "level": quiet, "propagate": False},
            "django.channels.server": {"level": quiet},
            "daphne": {"level": quiet},
            "asyncio": {"level": quiet},
        },
    }
