"""Reading a CSV file row by row, with a sentence for every way in which it can be a wrong one."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from django.utils.translation import gettext as _

LONGEST_FIELD = 20_000  # characters; a quote that is never closed would swallow the whole file


class WrongFile(Exception):
    """The whole file cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Row:
    line: int
    values: dict[str, str]  # by our names of columns; without those the file lacks
    problem: str = ""  # why the row cannot be read at all


def fold_header(header: str) -> str:
    """Headers of older releases have spaces around them and other capitals."""
    return " ".join(header.replace("\ufeff", "").split()).casefold()


def read_rows(
    path: Path,
    *,
    columns: Mapping[str, Sequence[str]],
    required: Sequence[str],
    encoding: str = "utf-8",
) -> Iterator[Row]:
    """The rows of ``path`` (plain or .gz), blank ones included with empty values.

    ``columns``: our name of a column and the headers it had in different releases. Raises
    `WrongFile` for another kind of file, another encoding, or one that was cut off.
    """
    try:
        with _open(path, encoding) as file:
            yield from _rows(file, columns, required)
    except FileNotFoundError as error:
        raise WrongFile(_("There is no file %(path)s.") % {"path": path}) from error
    except IsADirectoryError as error:
        raise WrongFile(_("%(path)s is a folder, not a file.") % {"path": path}) from error
    except UnicodeDecodeError as error:
        raise WrongFile(
            _(
                "The file is not in %(encoding)s (byte 0x%(byte)02X is not). Save it as CSV UTF-8, "
                "or name its encoding, for example --encoding cp1252. Nothing was stored."
            )
            % {"encoding": encoding.upper(), "byte": error.object[error.start]}
        ) from error
    except (EOFError, gzip.BadGzipFile) as error:
        raise WrongFile(
            _("The compressed file is damaged or cut off. Download it again. Nothing was stored.")
        ) from error
    except csv.Error as error:
        raise WrongFile(
            _(
                "The file cannot be read as CSV, or was cut off within a quoted value "
                "(%(error)s). Download it again. Nothing was stored."
            )
            % {"error": error}
        ) from error


def _open(path: Path, encoding: str) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding=encoding, newline="")
    return path.open(encoding=encoding, newline="")


def _rows(
    file: TextIO, columns: Mapping[str, Sequence[str]], required: Sequence[str]
) -> Iterator[Row]:
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader(file, strict=True)
    headers = [fold_header(header) for header in next(reader, [])]
    positions = _positions(headers, columns, required)
    waiting: tuple[int, list[str]] | None = None  # a row is judged when another one follows it
    line = reader.line_num + 1
    for values in reader:
        if waiting is not None:
            yield _row(*waiting, headers, positions)
        waiting, line = (line, values), reader.line_num + 1
    if waiting is not None:
        line, values = waiting
        if values and any(values) and len(values) < len(headers):
            raise WrongFile(
                _(
                    "The file was cut off in line %(line)d, which has %(found)d of %(expected)d "
                    "columns. Download it again. Nothing was stored."
                )
                % {"line": line, "found": len(values), "expected": len(headers)}
            )
        yield _row(line, values, headers, positions)


def _positions(
    headers: Sequence[str], columns: Mapping[str, Sequence[str]], required: Sequence[str]
) -> dict[str, int]:
    positions = {}
    for name, spellings in columns.items():
        for spelling in spellings:
            if spelling.casefold() in headers:
                positions[name] = headers.index(spelling.casefold())
                break
    missing = [columns[name][0] for name in required if name not in positions]
    if missing:
        raise WrongFile(
            _(
                "This is not the expected file: its first line lacks the columns %(missing)s. "
                "Nothing was stored."
            )
            % {"missing": ", ".join(f"“{name}”" for name in missing)}
        )
    return positions


def _row(
    line: int, values: Sequence[str], headers: Sequence[str], positions: Mapping[str, int]
) -> Row:
    if not any(value.strip() for value in values):
        return Row(line, {})
    if len(values) != len(headers):
        problem = _("has %(found)d columns instead of %(expected)d") % {
            "found": len(values),
            "expected": len(headers),
        }
        known = {n: values[p].strip() for n, p in positions.items() if p < len(values)}
        return Row(line, known, problem)
    return Row(line, {name: values[place].strip() for name, place in positions.items()})
