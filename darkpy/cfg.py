"""Read darknet's text files: .cfg, .data and .names.

Text goes in, sections come out. The parser knows no layer: a section makes a record of itself from
the fields of the dataclass it is given (`Section.build`), and every key knows its file and line.
The rules are those of darknet's read_cfg, read_data_cfg and get_labels.
"""

from __future__ import annotations

import codecs
import dataclasses
import functools
import logging
import os
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from .errors import CfgError, nearest, shorten

log = logging.getLogger(__name__)

Record = TypeVar("Record")
LONGEST = 16 << 20  # bytes of a file; yolov4-p6.cfg has 24 thousand
MOST_LINES = 100_000  # of a .cfg or .data that say something; yolov4-p6.cfg has two thousand
MOST_NUMBERS = 100_000  # of one key; YOLO9000 has 9418 classes to count
LARGEST = 3.4028234663852886e38  # a float32, darknet's FLT_MAX
LINE = re.compile(r"([^\r\n]*)(?:\r\n?|\n|\Z)")
INT = re.compile(r"[+-]?\d+")
FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def key(
    default: Any,
    *,
    name: str | None = None,
    least: float | None = None,
    most: float | None = None,
    choices: typing.Iterable[str] | None = None,
    path: bool = False,
    output: bool = False,
) -> Any:
    """Declare the field of a record that a section fills, with what its value must satisfy.

    name     the key in the file, where it is not a Python name (``from``); "" if no key fills it
    least    the smallest number allowed, ``most`` the largest
    choices  the words allowed
    path     the value names a file: resolve it as `find_file` does
    output   the value names a folder to write into: where there is none, of the working directory
    """
    limits = {"least": least, "most": most, "choices": choices}
    return field(default=default, metadata={"name": name, "path": path, "output": output, **limits})


@dataclass(frozen=True)
class Section:
    """One section of a .cfg: its name, where it stands, and its keys as text.

    keys   "filters" -> "32"; of two equal keys the first
    lines  "filters" -> 12, counted from 1; 0 for one that was set beside the file
    strict make an error of what is otherwise a warning; what was set is always read so
    """

    name: str
    path: str
    line: int
    keys: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    strict: bool = False

    def where(self, name: str | None = None) -> str:
        """Return ``file:line: [section]`` of a key, or of the section itself."""
        line = self.lines.get(name or "", self.line)
        return f"{self.path}:{line}: [{self.name}]" if line else f"{self.path}: set [{self.name}]"

    def error(self, message: str, name: str | None = None) -> CfgError:
        """Return the error that says ``message`` of a key of this section."""
        return CfgError(f"{self.where(name)} {message}")

    def warn(self, message: str, name: str | None = None) -> None:
        """Log ``message``; raise it if the file, or that key, is read strictly."""
        if self.strict or self.lines.get(name or "") == 0:
            raise self.error(message, name)
        log.warning("%s %s", self.where(name), message)

    def build(self, cls: type[Record]) -> Record:
        """Make a record of ``cls``, a dataclass whose fields are the keys of this section.

        Warns of unknown keys and of what the record itself doubts: its property ``doubts``, if it
        has one, gives pairs of key and message. Raises CfgError for a value that does not convert,
        and in a strict file instead of a warning.
        """
        fields = _fields(typing.cast(Any, cls))
        values = {}
        for name, text in self.keys.items():
            if name not in fields:
                self.warn(f"unknown key {shorten(name)}{nearest(name, fields)}", name)
                continue
            spec, kind = fields[name]
            values[spec.name] = self._value(name, text, spec, kind)
        record = cls(**values)
        for name, doubt in getattr(record, "doubts", ()):
            self.warn(doubt, name)
        return record

    def _value(self, name: str, text: str, spec: dataclasses.Field[Any], kind: Any) -> Any:
        limits = spec.metadata
        if limits.get("path"):
            return self._file(name, text)
        if limits.get("output"):
            found = self._file(name, text)
            return found if _exists(Path(found)) else str(expand(text.replace("\\", "/")))
        value = self._convert(name, text, kind)
        for one in value if isinstance(value, tuple) else (value,):
            if limits.get("least") is not None and one < limits["least"]:
                raise self.error(f"{name} = {one}: expected at least {limits['least']}", name)
            if limits.get("most") is not None and one > limits["most"]:
                raise self.error(f"{name} = {one}: expected at most {limits['most']}", name)
        choices = limits.get("choices")
        if choices is not None and value not in choices:
            known = ", ".join(choices)
            hint = nearest(text, choices) or f"; known: {known}"
            raise self.error(f"{name} = {shorten(text)} is not known{hint}", name)
        return value

    def _convert(self, name: str, text: str, kind: Any) -> Any:
        if isinstance(kind, types.UnionType):  # "ClassMap | None"
            kind = next(one for one in typing.get_args(kind) if one is not type(None))
        if kind is str:
            return text
        if kind is bool:
            return self._number(name, text, int) != 0
        if kind in (int, float):
            return self._number(name, text, kind)
        if typing.get_origin(kind) is tuple:
            return self._numbers(name, text, typing.get_args(kind)[0])
        path = self._file(name, text)
        try:
            return kind.read(path)
        except CfgError as error:
            raise self.error(f"{name}: {error}", name) from None

    def _file(self, name: str, text: str) -> str:
        if len(text) > 4096:
            raise self.error(f"{name} = {shorten(text)}: too long for the name of a file", name)
        return find_file(text, self.path)

    def _number(self, name: str, text: str, kind: type) -> Any:
        """Read a number as C's atoi and atof do, up to the first character that is none."""
        match = (INT if kind is int else FLOAT).match(text)
        if not match:
            what = "a whole number" if kind is int else "a number"
            raise self.error(f"{name} = {shorten(text)}: expected {what}", name)
        if len(match[0]) > 40:
            raise self.error(f"{name} = {shorten(text)} has too many digits", name)
        if match.end() < len(text):
            self.warn(f"{name} = {shorten(text)} is read as {match[0]}", name)
        value = kind(match[0])
        if kind is int and abs(value) > 2**31 - 1:
            raise self.error(f"{name} = {value}: expected a number of 32 bits", name)
        if kind is float and abs(value) > LARGEST:
            raise self.error(f"{name} = {shorten(text)}: expected a number of 32 bits", name)
        return value

    def _numbers(self, name: str, text: str, kind: type) -> tuple[Any, ...]:
        text, comment, _ = text.partition("#")
        if comment:
            self.warn(f"{name} is read up to '#'", name)
        parts = text.split(",", MOST_NUMBERS)
        if len(parts) > MOST_NUMBERS:
            raise self.error(f"{name} has more than {MOST_NUMBERS} numbers", name)
        if "" in parts:
            self.warn(f"{name} has a comma with no number; it is left out", name)
        return tuple(self._number(name, part, kind) for part in parts if part)


@functools.cache
def _fields(cls: type) -> dict[str, tuple[dataclasses.Field[Any], Any]]:
    """Return, for each key of a record, its field and its type."""
    hints = typing.get_type_hints(cls)
    named = ((spec.metadata.get("name"), spec) for spec in dataclasses.fields(cls))
    keys = ((spec.name if name is None else name, spec) for name, spec in named)
    return {name: (spec, hints[spec.name]) for name, spec in keys if name}


def read_text(path: str | Path, longest: int = LONGEST) -> str:
    """Return the text of a small file: UTF-8 with or without a byte-order mark, else Latin-1.

    Raises CfgError if it is missing, unreadable, binary, or longer than ``longest`` bytes.
    """
    try:
        with open(expand(path), "rb") as file:
            data = file.read(longest + 1)
    except (OSError, ValueError) as error:
        raise CfgError(f"{path}: cannot be read: {reason(error)}") from None
    if len(data) > longest:
        raise CfgError(f"{path}: longer than {longest >> 20} MiB; is it a text file?")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise CfgError(f"{path}: is encoded as UTF-16; save it as UTF-8")
    if b"\0" in data:
        raise CfgError(f"{path}: is not a text file (it contains zero bytes)")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def read_lines(path: str | Path, longest: int = LONGEST) -> Iterator[str]:
    """Yield the lines of a small text file, as `read_text` reads it.

    Only LF, CR LF and CR end a line: a name may contain what else str.splitlines takes for an end.
    """
    return (match[1] for match in LINE.finditer(read_text(path, longest)))


def expand(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` with a leading ~ replaced by a home folder, if there is such a home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def reason(error: Exception) -> str:
    """Return the plain words of an operating system error."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def find_file(text: str, named_in: str, beside: bool = True) -> str:
    """Return the path of the file that ``text``, found in the file ``named_in``, means.

    Tried in this order: relative to the file that names it; relative to that file's parent folder
    (a cfg/x.cfg that says data/y means darknet's folder); relative to the working directory; if
    ``beside``, a file of the same name beside the one that names it. If none exists, the first is
    returned.
    """
    path = expand(text.replace("\\", "/"))
    if path.is_absolute():
        return str(path)
    home = expand(named_in).parent
    tried = [home / path, home.parent / path, path, *([home / path.name] if beside else [])]
    return str(next((one for one in tried if _exists(one)), tried[0]))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return False


def read_cfg(
    path: str | Path, strict: bool = False, settings: typing.Sequence[str] = ()
) -> list[Section]:
    """Split a .cfg into its sections, as darknet's read_cfg does.

    settings  "section.key=value", to count instead of what every such section of the file says

    Blanks do not count, ``#`` and ``;`` begin a comment line, and of two equal keys in a section
    the first wins (with a warning). Raises CfgError with file:line for a line that is neither, and
    for a setting of a section that the file has not.
    """
    sections: list[Section] = []
    for number, text in _statements(path):
        line = "".join(text.split())
        if line[0] == "[":
            name, closed, rest = line[1:].partition("]")
            if not closed or not 0 < len(name) < 60 or (rest and rest[0] not in "#;"):
                raise CfgError(f"{path}:{number}: expected [section], got {shorten(line)}")
            sections.append(Section(name, str(path), number, strict=strict))
        elif not sections:
            raise CfgError(f"{path}:{number}: expected [net] first, got {shorten(line)}")
        else:
            _add(sections[-1], line, number)
    if not sections:
        raise CfgError(f"{path}: has no section; expected a [net] and its layers")
    for setting in settings:
        _set(sections, setting)
    return sections


def _set(sections: list[Section], setting: str) -> None:
    """Put a "section.key=value" into every section of that name; of [network] as of [net]."""
    where, _, value = "".join(setting.split()).partition("=")
    name, _, key_name = where.partition(".")
    if not (name and key_name and value):
        raise CfgError(f"{setting!r}: expected section.key=value, as in net.batch=32")
    aliases = {"net": "network", "network": "net"}
    chosen = [one for one in sections if one.name in (name, aliases.get(name))]
    if not chosen:
        known = {one.name for one in sections}
        raise CfgError(f"{setting!r}: {sections[0].path} has no [{name}]{nearest(name, known)}")
    for section in chosen:
        section.keys[key_name] = value
        section.lines[key_name] = 0


def _statements(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield number and text, without blanks at its ends, of each line that is not a comment."""
    found = 0
    for number, line in enumerate(map(str.strip, read_lines(path)), 1):
        if line and line[0] not in "#;":
            found += 1
            if found > MOST_LINES:
                raise CfgError(f"{path}: has more than {MOST_LINES} lines; is it the right file?")
            yield number, line


def _add(section: Section, line: str, number: int) -> None:
    """Put the ``key=value`` of a line into a section."""
    name, equals, value = line.partition("=")
    if not equals or not name:
        raise CfgError(f"{section.path}:{number}: expected key = value, got {shorten(line)}")
    if name in section.keys:
        first = section.lines[name]
        message = f"second {shorten(name)}; the one in line {first} is used"
        Section(section.name, section.path, number, strict=section.strict).warn(message)
    elif not value:
        Section(section.name, section.path, number, strict=section.strict).warn(
            f"{shorten(name)} has no value and is ignored"
        )
    else:
        section.keys[name] = value
        section.lines[name] = number


@dataclass(frozen=True)
class Data:
    """What a .data file says: where the pictures, names and results are (darknet's read_data_cfg).

    ``train`` and ``valid`` name lists of pictures, ``names`` the classes, ``backup`` the folder for
    weights, ``results`` that for detections. Paths are resolved; one not given is None.
    """

    path: str = key("", name="")
    classes: int | None = key(None, least=1, most=1_000_000)
    train: str | None = key(None, path=True)
    valid: str | None = key(None, path=True)
    names: str | None = key(None, path=True)
    labels: str | None = key(None, path=True)
    backup: str | None = key(None, output=True)
    results: str | None = key(None, output=True)
    eval: str = "voc"
    map: str | None = key(None, path=True)
    difficult: str | None = key(None, path=True)
    saveweights: int = key(0, least=0)
    savelast: int = key(100, least=0)
    leaves: str | None = key(None, path=True)
    tree: str | None = key(None, path=True)
    top: int = key(1, least=1)


def read_data(path: str | Path, strict: bool = False) -> Data:
    """Read a .data file: ``key = value`` lines, comments with # or ;.

    Unlike darknet, blanks inside a value are kept, so that a folder's name may contain them.
    Raises CfgError with file:line.
    """
    section = Section("data", str(path), 1, strict=strict)
    for number, text in _statements(path):
        if text.startswith("["):
            raise CfgError(
                f"{path}:{number}: expected key = value, got {shorten(text)}; this is a .cfg, and "
                "the .data file comes before it"
            )
        name, equals, value = text.partition("=")
        _add(section, f"{''.join(name.split())}{equals}{value.strip()}", number)
    data = section.build(Data)
    return dataclasses.replace(data, path=str(path))


def read_names(path: str | Path) -> tuple[str, ...]:
    """Read the names of the classes, one a line; blank lines at the end do not count."""
    lines = [line.strip() for line in read_lines(path)]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise CfgError(f"{path}: has no name; expected one class a line")
    return tuple(lines)


def names_of(data: Data) -> tuple[str, ...]:
    """Return the class names that a .data file refers to. Raises CfgError if it names none."""
    path = data.names or data.labels
    if path is None:
        raise CfgError(f"{data.path}: expected names = FILE, the names of the classes")
    try:
        return read_names(path)
    except CfgError as error:
        raise CfgError(f"{data.path}: names: {error}") from None
