"""Which way of computing is taken where there are several: what is estimated, or was measured.

What was measured is kept in a file of the user's cache folder, one a GPU.
"""

import json
import logging
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

Make = Callable[[Any], list[Any]]


@dataclass(frozen=True)
class Question:
    """In which way launches are to compute something.

    what  all that the answer depends on but the GPU, in words: under these it is kept
    ways  returns those worth measuring, by their names; the first is estimated to be best
    """

    what: str
    ways: Callable[[], Mapping[str, Any]]


class Choices:
    """What is taken; it stays as it is.

    names  of ways, by ``what`` of a `Question`
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names

    def way(self, question: Question) -> Any:
        """Return the way that is taken: where no name of one is known, the first."""
        ways = question.ways()
        return ways.get(self.names.get(question.what, ""), next(iter(ways.values())))

    def launches(self, question: Question, make: Make) -> list[Any]:
        """Return the launches that ``make`` gives for the way that is taken."""
        return make(self.way(question))


class Asked(Choices):
    """Takes what is estimated, and remembers what was asked.

    Attributes: ``questions`` and ``makes``, by what was asked, of each time that it was.
    """

    def __init__(self) -> None:
        super().__init__({})
        self.questions: dict[str, Question] = {}
        self.makes: dict[str, list[Make]] = {}

    def launches(self, question: Question, make: Make) -> list[Any]:
        """Return the launches of the way that is estimated to be best."""
        self.questions[question.what] = question
        self.makes.setdefault(question.what, []).append(make)
        return super().launches(question, make)


@dataclass(frozen=True)
class Kept:
    """The file of one GPU's choices.

    kernels  a digest of the sources that were measured: choices for others are none
    """

    path: Path
    kernels: str

    def read(self) -> dict[str, str]:
        """Return what is kept; nothing, with a warning in the log, of a file that is damaged."""
        try:
            content = json.loads(self.path.read_bytes())
            names = content["names"]
            if content["kernels"] != self.kernels:
                return {}
            if any(not isinstance(one, str) for one in names.values()):
                raise ValueError("expected names of ways")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("%s cannot be read (%s): tuned choices are not taken", self.path, error)
            return {}
        return dict(names)

    def write(self, names: Mapping[str, str]) -> None:
        """Write the file whole or not at all; a warning in the log says if it cannot be."""
        content = {"kernels": self.kernels, "names": dict(sorted(names.items()))}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(content, file, indent=0)
                os.replace(temporary, self.path)
            except OSError:
                os.unlink(temporary)
                raise
        except OSError as error:
            log.warning("%s cannot be written (%s): choices hold till the end", self.path, error)


def place(folder: Path, gpu: str, arch: int, processors: int, sources: Sequence[str]) -> Kept:
    """Return where the choices of a GPU are kept, for kernels of some sources.

    gpu  its name
    """
    mark = sha256("\0".join(sources).encode()).hexdigest()
    name = re.sub(r"\W+", "-", f"{gpu} {arch} {processors}")
    return Kept(folder / "gpu" / f"{name}.json", mark)
