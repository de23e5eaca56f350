"""The zoo: detectors whose cfg darkpy carries, and where their official weights are.

A sum is given where independent sources agree on it for that address. Every file fetched is
measured against its cfg and its sum is written beside it, in ``NAME.weights.json``; from then on
a file that no longer has that sum is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cfg import expand, reason
from .download import PAUSES, Part, Progress, download
from .errors import DownloadError, nearest
from .files import write_text
from .network import Network
from .weights import Version, file_size

_ALEXEYAB = "https://github.com/AlexeyAB/darknet/releases/download"
_PJREDDIE = "https://data.pjreddie.com/files"
_FASTEST = "https://github.com/dog-qiuqiu/Yolo-Fastest/raw/master/ModelZoo"


@dataclass(frozen=True)
class Model:
    """One detector of the zoo.

    name    what `get` is asked for; the cfg is ``NAME.cfg``, the file ``NAME.weights``
    url     where its authors keep the weights
    sha256  the sum that file is known to have, or None
    data    the .data file, in the folder of the cfg, that names its classes
    """

    name: str
    url: str
    sha256: str | None = None
    data: str = "coco.data"


MODELS = {
    model.name: model
    for model in (
        Model(
            "yolov2",
            f"{_PJREDDIE}/yolov2.weights",
            "d9945162ed6f54ce1a901e3ec537bdba4d572ecae7873087bd730e5a7942df3f",
        ),
        Model("yolov2-tiny", f"{_PJREDDIE}/yolov2-tiny.weights"),
        Model("yolov2-voc", f"{_PJREDDIE}/yolov2-voc.weights", data="voc.data"),
        Model(
            "yolov2-tiny-voc",
            "https://pjreddie.com/media/files/yolov2-tiny-voc.weights",
            data="voc.data",
        ),
        Model(
            "yolov3",
            f"{_PJREDDIE}/yolov3.weights",
            "523e4e69e1d015393a1b0a441cef1d9c7659e3eb2d7e15f793f060a21b32f297",
        ),
        Model(
            "yolov3-tiny",
            f"{_PJREDDIE}/yolov3-tiny.weights",
            "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c",
        ),
        Model(
            "yolov3-spp",
            f"{_PJREDDIE}/yolov3-spp.weights",
            "87a1e8c85c763316f34e428f2295e1db9ed4abcec59dd9544f8052f50de327b4",
        ),
        Model(
            "yolov4",
            f"{_ALEXEYAB}/darknet_yolo_v3_optimal/yolov4.weights",
            "e8a4f6c62188738d86dc6898d82724ec0964d0eb9d2ae0f0a9d53d65d108d562",
        ),
        Model(
            "yolov4-tiny",
            f"{_ALEXEYAB}/darknet_yolo_v4_pre/yolov4-tiny.weights",
            "cf9fbfd0f6d4869b35762f56100f50ed05268084078805f0e7989efe5bb8ca87",
        ),
        Model("yolov4-csp", f"{_ALEXEYAB}/darknet_yolo_v4_pre/yolov4-csp.weights"),
        Model("yolov7-tiny", f"{_ALEXEYAB}/yolov4/yolov7-tiny.weights"),
        Model(
            "yolov7",
            f"{_ALEXEYAB}/yolov4/yolov7.weights",
            "4ecf7ca13ec5039ec7b79b0f25b156fda5eaf819d6c2bb6828ba55fe4f928332",
        ),
        Model(
            "yolo-fastest-1.1",
            f"{_FASTEST}/yolo-fastest-1.1_coco/yolo-fastest-1.1.weights",
            "1c445c42bbd6df63edea2cc69f99667b5650d663ca11e34b116240740cd42890",
        ),
        Model(
            "yolo-fastest-1.1-xl",
            f"{_FASTEST}/yolo-fastest-1.1_coco/yolo-fastest-1.1-xl.weights",
            "fac5fb41786c1f38f04972a658443b189f48720d7d117f9a044100e98a35b0c5",
        ),
    )
}


def cfg_path(name: str) -> Path:
    """Return where the file ``name`` of the cfg/ folder is, in a checkout or in a wheel.

    raises   DownloadError if darkpy carries no such file
    """
    here = Path(__file__).resolve().parent
    folder = here / "zoo_cfg" if (here / "zoo_cfg").is_dir() else here.parent / "cfg"
    path = folder / name
    if not path.is_file():
        known = (entry.name for entry in folder.glob("*.*"))
        raise DownloadError(f"darkpy carries no file {name!r}{nearest(name, known)}")
    return path


def cache_dir() -> Path:
    """Return the folder for weights unless another is named: where this system keeps caches."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "darkpy"


def find(name: str) -> Model:
    """Return the model of that name; raise DownloadError with the nearest one if there is none."""
    if name not in MODELS:
        raise DownloadError(f"the zoo has no {name!r}{nearest(name, MODELS)}")
    return MODELS[name]


def size(model: Model) -> int:
    """Return the length in bytes of the model's weights, with the header of version 0.2."""
    return file_size(Network.from_cfg(cfg_path(f"{model.name}.cfg")))


def get(
    name: str,
    out: str | os.PathLike[str] | None = None,
    *,
    progress: Progress | None = None,
    pauses: Sequence[float] = PAUSES,
) -> Path:
    """Return the weights of a model of the zoo, fetched if they are not there, checked if they are.

    out       the folder for them; the user's cache if None
    progress  called with the bytes there and the bytes in all
    pauses    seconds to wait before each further try of a download
    raises    DownloadError: no such model, not to be had, or not the file it should be
    """
    model = find(name)
    folder = expand(out) if out is not None else cache_dir()
    try:
        return _kept_or_fetched(model, folder / f"{model.name}.weights", progress, pauses)
    except OSError as error:
        where = error.filename or folder
        raise DownloadError(f"{where}: {reason(error)}; name another folder with --out") from None


def _kept_or_fetched(
    model: Model, path: Path, progress: Progress | None, pauses: Sequence[float]
) -> Path:
    length = size(model)
    if path.is_file():
        _check_kept(model, path, length)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    lengths = (length, length - 4)  # version 0.1 counts the pictures seen in 4 bytes, 0.2 in 8
    part = download(model.url, path, sizes=lengths, progress=progress, pauses=pauses)
    _accept(model, part, length)
    return path


def _accept(model: Model, part: Part, length: int) -> None:
    """Check what was fetched and give it its name, or throw it away."""
    problem = _wrong_length(part.path, length)
    sha256 = _sum(part.path)
    if not problem and model.sha256 not in (None, sha256):
        problem = f"expected the sha256 {model.sha256}, got {sha256}"
    if problem:
        part.drop()
        raise DownloadError(f"{model.url}: {problem}; nothing was kept")
    _record(part.whole, model, sha256)
    part.finish()


def _check_kept(model: Model, path: Path, length: int) -> None:
    """Check a file that is there: its length, and its sum if one was recorded or is known."""
    remedy = f"delete it and run `darkpy zoo get {model.name}` again"
    if problem := _wrong_length(path, length):
        raise DownloadError(f"{path}: {problem}; {remedy}")
    sha256, noted = _sum(path), _recorded(path)
    if (expected := noted or model.sha256) not in (None, sha256):
        whose = "it had when it was fetched" if noted else "the official file has"
        raise DownloadError(f"{path}: the sha256 is {sha256}, {whose} {expected}; {remedy}")
    if not noted:
        _record(path, model, sha256)


def _wrong_length(path: Path, length: int) -> str | None:
    """Return what is wrong with the length of a .weights file, which its header decides.

    length  in bytes, with the header of version 0.2; that of 0.1 is 4 shorter
    """
    with open(path, "rb") as file:
        head = file.read(12).ljust(12, b"\0")
    recent = Version(*struct.unpack("<3i", head)).seen_type == "<u8"
    expected = length if recent else length - 4
    found = path.stat().st_size
    return None if found == expected else f"expected {expected:,} bytes, got {found:,}"


def _sum(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _note(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _recorded(path: Path) -> str | None:
    """Return the sum that was written beside the file, None if none was."""
    note = _note(path)
    if not note.is_file():
        return None
    try:
        noted: Any = json.loads(note.read_text("utf-8"))
        return str(noted["sha256"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise DownloadError(f"{note}: expected the record of {path.name}; delete both") from None


def _record(path: Path, model: Model, sha256: str) -> None:
    """Write the sum beside the file."""
    record = {"name": model.name, "url": model.url, "sha256": sha256}
    write_text(_note(path), json.dumps(record, indent=2) + "\n")
