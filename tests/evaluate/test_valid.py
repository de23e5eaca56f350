import json

import numpy as np
import pytest

from darkpy.decode import Candidates
from darkpy.errors import DarkpyError, DataError
from darkpy.evaluate.pictures import Seen
from darkpy.evaluate.valid import COCO_IDS, coco_id, result_files, stem

NAMES = ("car", "person", "cyclist")


def seen(path="images/000000000042.jpg", index=0, width=200, height=100):
    return Seen(index, path, width, height, {})


def found(*rows):
    """Make candidates of (x, y, w, h, probability of each of three classes)."""
    table = np.array(rows, np.float32).reshape(-1, 7)
    return Candidates(table[:, :4], table[:, 4:].max(1, initial=0), table[:, 4:])


TWO = found(
    (0.5, 0.5, 0.25, 0.5, 0.75, 0, 0.125),
    (0.0, 1.0, 0.5, 0.25, 0, 0.5, 0),
)


ONE = ((seen(), TWO),)


def written(tmp_path, kind, out=None, names=NAMES, pictures=ONE):
    """Write the pictures; return the text of each file that came of it, by its name."""
    folder = tmp_path / "results" / "deep"
    with result_files(kind, folder, out, names) as add:
        for one, boxes in pictures:
            add(one, boxes)
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes().decode() for path in files}


def test_coco(tmp_path):
    assert written(tmp_path, "coco") == {
        "coco_results.json": "[\n"
        '{"image_id":42, "category_id":1, "bbox":[75.000000, 25.000000, 50.000000, 50.000000], '
        '"score":0.750000},\n'
        '{"image_id":42, "category_id":3, "bbox":[75.000000, 25.000000, 50.000000, 50.000000], '
        '"score":0.125000},\n'
        '{"image_id":42, "category_id":2, "bbox":[0.000000, 87.500000, 50.000000, 12.500000], '
        '"score":0.500000}\n]\n'
    }


def test_coco_ids():
    assert len(COCO_IDS) == 80
    assert (COCO_IDS[0], COCO_IDS[11], COCO_IDS[79]) == (1, 13, 90)
    assert coco_id("val/000000581781.jpg") == 581781
    assert coco_id("a\\COCO_val2014_000000000042.jpg") == 42
    assert coco_id("12_34.jpg") == 12  # as atoi
    with pytest.raises(DataError, match=r"dog\.jpg: expected COCO's number"):
        coco_id("images/2017/dog.jpg")


def test_voc(tmp_path):
    pictures = ((seen("a/2008.x.jpg"), TWO), (seen("b/3.jpg"), found()))
    files = written(tmp_path, "voc", names=("car", "a/b", "c"), pictures=pictures)
    assert files == {
        "comp4_det_test_car.txt": "2008 0.750000 76.000000 26.000000 126.000000 76.000000\n",
        "comp4_det_test_a_b.txt": "2008 0.500000 1.000000 88.500000 51.000000 100.000000\n",
        "comp4_det_test_c.txt": "2008 0.125000 76.000000 26.000000 126.000000 76.000000\n",
    }


def test_voc_classes_of_one_name_share_a_file(tmp_path):
    files = written(tmp_path, "voc", "x_", names=("car", "a", "car"))
    assert sorted(files) == ["x_a.txt", "x_car.txt"]
    assert files["x_car.txt"].count("\n") == 2


def test_imagenet(tmp_path):
    files = written(tmp_path, "imagenet", "mine", pictures=((seen(index=6), TWO),))
    assert files == {
        "mine.txt": "7 1 0.750000 75.000000 25.000000 125.000000 75.000000\n"
        "7 3 0.125000 75.000000 25.000000 125.000000 75.000000\n"
        "7 2 0.500000 0.000000 87.500000 50.000000 100.000000\n"
    }


def test_bdd(tmp_path):
    (text,) = written(tmp_path, "bdd", pictures=((seen('x/b1"c.d.jpg'), TWO),)).values()
    assert text.startswith(
        '[\n\t{\n\t\t"name":"b1\\"c.d",\n\t\t"category":"bike",\n\t\t"bbox":[75.0'
    )
    assert [one["category"] for one in json.loads(text)] == ["bike", "car", "bus"]
    assert json.loads(text)[2]["bbox"] == [0, 87.5, 50, 100]


def test_kitti(tmp_path):
    pictures = ((seen("x/7.png"), TWO), (seen("x/8.png"), found()))
    files = written(tmp_path, "kitti", pictures=pictures)
    assert sorted(files) == ["kitti_results/data/7.txt", "kitti_results/data/8.txt"]
    first, *_ = files["kitti_results/data/7.txt"].splitlines()
    assert first == (
        "car -1 -1 -10 75.000000 25.000000 125.000000 75.000000 "
        "-1 -1 -1 -1000 -1000 -1000 -10 0.750000"
    )
    assert files["kitti_results/data/8.txt"] == ""


@pytest.mark.parametrize("kind", ["coco", "bdd"])
def test_no_detection_is_valid_json(tmp_path, kind):
    for pictures in ((), ((seen(), found()),)):
        (text,) = written(tmp_path, kind, pictures=pictures).values()
        assert json.loads(text) == []


def test_stem():
    assert [stem(one) for one in ("a/b.c.jpg", "a\\b.jpg", "b", "x.y/z")] == ["b", "b", "b", "z"]


def test_an_error_leaves_the_old_files(tmp_path):
    before = written(tmp_path, "coco")
    with pytest.raises(DataError, match="COCO's number"):
        written(tmp_path, "coco", pictures=((seen(), TWO), (seen("dog.jpg"), TWO)))
    (path,) = (tmp_path / "results" / "deep").iterdir()
    assert path.read_text() == before["coco_results.json"]


def test_refusals(tmp_path):
    with pytest.raises(DataError, match=r"eval = coc: expected one of voc, .*did you mean 'coco'"):
        result_files("coc", tmp_path, None, NAMES)
    with pytest.raises(DataError, match="kitti has 3 classes; the names are 4"):
        result_files("kitti", tmp_path, None, (*NAMES, "x"))
    (tmp_path / "file").write_text("")
    with pytest.raises(DarkpyError, match="file: cannot be made"):
        result_files("coco", tmp_path / "file", None, NAMES)
