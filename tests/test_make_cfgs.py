"""The files of cfg/ are what scripts/make_cfgs.py writes, and equal darknet's of the same names."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from darkpy.cfg import find_file, read_cfg, read_data, read_names
from tests.conftest import ROOT

CFG = ROOT / "cfg"
NETWORKS = [
    *("yolov2", "yolov2-voc", "yolov2-tiny", "yolov2-tiny-voc"),
    *("yolov3", "yolov3-voc", "yolov3-spp", "yolov3-tiny"),
    *("yolov4", "yolov4-csp", "yolov4-tiny", "yolov7", "yolov7-tiny"),
    *("yolo-fastest-1.1", "yolo-fastest-1.1-xl"),
]
OURS = ["shapes"]  # which darknet does not have
DATA = {"voc.data", "voc.names", "coco.data", "coco.names"}
FILES = {f"{name}.cfg" for name in NETWORKS + OURS} | DATA


def make_cfgs(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the script as a person does."""
    command = [sys.executable, ROOT / "scripts" / "make_cfgs.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def value(text: str) -> tuple[float, ...] | str:
    """Return the numbers of a value up to a comment, or the text if they are none."""
    try:
        return tuple(float(number) for number in text.partition("#")[0].split(","))
    except ValueError:
        return text


def test_the_script_reproduces_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "cfg"
    done = make_cfgs(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(FILES)
    assert contents(folder).keys() == FILES  # and no temporary file is left
    assert contents(folder) == contents(CFG)


def test_check_accepts_the_folder() -> None:
    done = make_cfgs("--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_check_names_what_differs(tmp_path: Path) -> None:
    folder = shutil.copytree(CFG, tmp_path / "cfg")
    changed, missing, ended = (folder / name for name in ("yolov3.cfg", "coco.data", "voc.names"))
    lines = changed.read_bytes().splitlines(keepends=True)
    changed.write_bytes(b"".join([*lines[:40], b"filters=7\n", *lines[41:]]))
    missing.unlink()
    ended.write_bytes(ended.read_bytes().replace(b"\n", b"\r\n"))
    before = contents(folder)

    done = make_cfgs("--check", folder)

    assert done.returncode == 1
    assert sorted(done.stderr.splitlines()) == [
        f"{missing}: is missing",
        f"{ended}:1: is not what its recipe writes",
        f"{changed}:41: is not what its recipe writes",
    ]
    assert contents(folder) == before


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    done = make_cfgs(file)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{file}: ")
    assert len(done.stderr.splitlines()) == 1
    assert file.read_text() == "kept"


@pytest.mark.parametrize("name", NETWORKS)
def test_network_equals_the_reference(name: str, shared: Path) -> None:
    folder = "models" if name.startswith("yolo-fastest") else "cfg"
    ours = read_cfg(CFG / f"{name}.cfg", strict=True)
    reference = read_cfg(shared / "data" / folder / f"{name}.cfg")
    assert [section.name for section in ours] == [section.name for section in reference]
    for index, (mine, theirs) in enumerate(zip(ours, reference, strict=True), start=-1):
        want = {key: value(text) for key, text in theirs.keys.items()}
        assert {key: value(text) for key, text in mine.keys.items()} == want, f"layer {index}"


@pytest.mark.parametrize("name", NETWORKS + OURS)
def test_comments_tell_origin_and_index(name: str) -> None:
    text = (CFG / f"{name}.cfg").read_text(encoding="utf-8")
    title, url = re.match(r"# (.+) \(.+ (https://\S+)\)\. Written by .+\n\[net\]", text).groups()
    assert title.lower().startswith(re.split("[-.]", name)[0])
    assert url.startswith(("https://arxiv.org/abs/", "https://github.com/"))
    sections = re.findall(r"^(?:# (\d+)\b.*)?\n\[(\w+)\]", text, flags=re.MULTILINE)
    layers = [section for section in read_cfg(CFG / f"{name}.cfg") if section.name != "net"]
    assert sections == [(str(i), layer.name) for i, layer in enumerate(layers)]


@pytest.mark.parametrize(("name", "count"), [("voc", 20), ("coco", 80)])
def test_data_finds_its_names(name: str, count: int) -> None:
    path = CFG / f"{name}.data"
    data = read_data(path, strict=True)
    assert data.names == find_file(f"{name}.names", str(path)) == str(CFG / f"{name}.names")
    assert data.classes == count == len(set(read_names(data.names)))
    assert data.eval == name


def test_coco_names_equal_the_reference(shared: Path) -> None:
    reference = read_names(shared / "data" / "coco128" / "coco.names")
    assert read_names(CFG / "coco.names") == reference
