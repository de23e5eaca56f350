"""Write the well-known detectors into cfg/, each from its recipe in scripts/recipes.

python scripts/make_cfgs.py [FOLDER]          write the files and list them
python scripts/make_cfgs.py --check [FOLDER]  write nothing; say which files differ, and exit with 1
"""

import argparse
import os
import sys
from itertools import takewhile
from pathlib import Path

from recipes import datasets, shapes, yolo_fastest, yolov2, yolov3, yolov4, yolov7

FOLDER = Path(__file__).resolve().parents[1] / "cfg"
FAMILIES = (shapes, yolov2, yolov3, yolov4, yolov7, yolo_fastest)


def make() -> dict[str, bytes]:
    """Return the content of each file by its name."""
    networks = {
        f"{name}.cfg": recipe().text()
        for family in FAMILIES
        for name, recipe in family.RECIPES.items()
    }
    return {name: text.encode() for name, text in (networks | datasets.files()).items()}


def write(path: Path, content: bytes) -> None:
    """Write a file as a whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def difference(path: Path, content: bytes) -> str | None:
    """Return what is wrong with a file that should have this content, or None."""
    if not path.exists():
        return f"{path}: is missing"
    found = path.read_bytes()
    if found == content:
        return None
    pairs = zip(found.splitlines(True), content.splitlines(True), strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return f"{path}:{same + 1}: is not what its recipe writes"


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the well-known detectors into cfg/.")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, metavar="FOLDER")
    parser.add_argument("--check", action="store_true", help="only say which files differ")
    options = parser.parse_args()
    files = {options.folder / name: content for name, content in make().items()}
    wrong = []
    try:
        if options.check:
            wrong = [said for path in files if (said := difference(path, files[path]))]
        else:
            options.folder.mkdir(parents=True, exist_ok=True)
            for path, content in files.items():
                write(path, content)
                print(f"{path}: {len(content)} bytes")
    except OSError as error:
        wrong = [f"{error.filename}: {error.strerror}"]
    for said in wrong:
        print(said, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
