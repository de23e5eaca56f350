"""darkpy detector map, valid, recall and calc_anchors: what they print and write."""

import json
import re

import numpy as np
import pytest

import darkpy as package
from darkpy.cli import main
from tests.tiny import write_model, write_picture

MODEL = ("tiny.data", "tiny.cfg", "tiny.weights")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make a model, five pictures, and labels: what the model finds in the first four, and less."""
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path)
    detector = package.load("tiny.cfg", "tiny.weights")
    for n in range(5):
        path = write_picture(tmp_path / f"{n}.png", seed=n)
        image = package.data.image.read_image(path)
        found = detector.candidates(image, 0.3)
        lines = [
            f"{int(probs.argmax())} {' '.join(map(str, box.tolist()))}"
            for box, probs in zip(found.boxes, found.probs, strict=True)
        ]
        (tmp_path / f"{n}.txt").write_text("\n".join(lines[: 3 if n < 4 else 0]))
    (tmp_path / "valid.txt").write_text("".join(f"{n}.png\n" for n in range(5)))
    return tmp_path


@pytest.fixture
def darkpy(capsys):
    """Run the command line; return exit status, stdout and stderr."""

    def run(*words):
        with pytest.raises(SystemExit) as stop:
            main(["detector", *(str(word) for word in words)])
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


def test_map_prints_darknets_table(folder, darkpy):
    code, out, err = darkpy("map", *MODEL)
    assert code == 0, err
    form = r"""
 calculation mAP \(mean average precision\)\.\.\.
 Detection layer: 4 - type = 28 

 detections_count = \d+, unique_truth_count = 12  
class_id = 0, name = cat, ap = \d+\.\d\d%   \t \(TP = \d+, FP = \d+\) 
class_id = 1, name = dog, ap = \d+\.\d\d%   \t \(TP = \d+, FP = \d+\) 

 for conf_thresh = 0\.25, precision = \d\.\d\d, recall = \d\.\d\d, F1-score = \d\.\d\d 
 for conf_thresh = 0\.25, TP = \d+, FP = \d+, FN = \d+, average IoU = \d+\.\d\d % 

 IoU threshold = 50 %, used Area-Under-Curve for each unique Recall 
 mean average precision \(mAP@0\.50\) = 0\.\d{6}, or \d+\.\d\d % 

Set -points flag:
 `-points 101` for MS COCO 
 `-points 11` for PascalVOC 2007 \(uncomment `difficult` in voc\.data\) 
 `-points 0` \(AUC\) for ImageNet, PascalVOC 2010-2012, your custom dataset
"""
    assert re.fullmatch(form, out)
    assert err == "Total Detection Time: 0 Seconds\n"


def numbers(out):
    """Return the numbers of a table by their names."""
    return dict(re.findall(r"(TP|FP|FN|mAP@0\.\d\d\)) = ([\d.]+)(?=[, ])", out))


def test_map_flags(folder, darkpy):
    plain = darkpy("map", *MODEL)[1]
    strict = darkpy(
        "map", "-iou_thresh", "0.9", *MODEL, "--points", "11", "-thresh", ".9", "-i", "0"
    )
    code, out, _ = strict
    assert code == 0
    assert "used 11 Recall-points" in out and "(mAP@0.90)" in out
    assert "for conf_thresh = 0.90" in out
    assert int(numbers(out)["FN"]) == 12 > int(numbers(plain)["FN"])


def test_map_letter_box_is_honoured(folder, darkpy):
    assert darkpy("map", *MODEL)[1] != darkpy("map", *MODEL, "-letter_box", "-dont_show")[1]


def test_map_difficult(folder, darkpy):
    words = ("map", *MODEL, "-iou_thresh", "0.01")
    plain = darkpy(*words)[1]
    data = (folder / "tiny.data").read_text()
    (folder / "tiny.data").write_text(f"{data}difficult = difficult.txt\n")
    (folder / "difficult.txt").write_text("".join(f"hard/{n}.png\n" for n in range(5)))
    (folder / "hard").mkdir()
    (folder / "hard" / "4.txt").write_text("0 .5 .5 1 1\n1 .5 .5 1 1\n")
    code, out, err = darkpy(*words)
    assert code == 0, err
    for count in ("TP", "FP", "FN"):  # a difficult object's detection is an FP all the same
        assert numbers(out)[count] == numbers(plain)[count]
    detections = re.compile(r"detections_count = (\d+)")
    assert int(detections.search(out)[1]) < int(detections.search(plain)[1])


def test_map_coco_prints_twelve_lines(folder, darkpy):
    pytest.importorskip("pycocotools")
    code, out, err = darkpy("map", *MODEL, "--coco")
    assert code == 0, err
    lines = out.splitlines()
    assert len(lines) == 12
    words, _, number = lines[1].rpartition(" = ")
    assert words == " Average Precision  (AP) @[ IoU=0.50      | area=   all | maxDets=100 ]"
    assert 0.1 < float(number) <= 1


def test_map_of_data_with_other_classes(folder, darkpy):
    text = (folder / "tiny.data").read_text()
    (folder / "tiny.data").write_text(text.replace("classes = 2", "classes = 3"))
    code, _, err = darkpy("map", *MODEL)
    assert code == 0
    assert "warning: tiny.data: classes = 3, but tiny.cfg has classes=2" in err


def test_map_of_a_network_that_detects_nothing(folder, darkpy):
    cfg = (folder / "tiny.cfg").read_text().partition("[yolo]")[0]
    (folder / "tiny.cfg").write_text(cfg)
    code, _, err = darkpy("map", *MODEL)
    assert code == 2
    assert "tiny.cfg: has no detection head" in err


def test_map_leaves_out_pictures_that_cannot_be_read(folder, darkpy):
    (folder / "1.png").write_bytes(b"\x89PNG")
    code, out, err = darkpy("map", *MODEL)
    assert code == 1
    assert "unique_truth_count = 9 " in out
    assert "1.png" in err
    assert "1 of 5 pictures could not be read and are left out" in err


def test_map_of_no_picture_that_can_be_read(folder, darkpy):
    for n in range(5):
        (folder / f"{n}.png").unlink()
    code, out, err = darkpy("map", *MODEL)
    assert code == 1 and "5 of 5 pictures" in err
    assert "detections_count = 0, unique_truth_count = 0" in out
    assert "precision = nan, recall = nan, F1-score = nan" in out


@pytest.mark.parametrize(
    ("change", "words", "complaint"),
    [
        (("tiny.names", "cat\n"), MODEL, "1 names, but tiny.cfg has classes=2"),
        (("tiny.data", "names = tiny.names\n"), MODEL, "tiny.data: expected valid = FILE"),
        (("tiny.data", "valid = valid.txt\n"), MODEL, "tiny.data: expected names = FILE"),
        (("valid.txt", "\n"), MODEL, "valid.txt: names no picture"),
        (("valid.txt", "elsewhere.png\n"), MODEL, "elsewhere.txt: no such file, nor a label file"),
        (None, (*MODEL, "-points", "1"), "expected 0, or a number of recalls"),
        (None, (*MODEL, "--precision", "16"), "'16' is not one of 'fp32', 'tf32', 'fp16', 'bf16'"),
        (None, (*MODEL, "-iou_thresh", "2"), "2.0 is not in the range 0<=x<=1"),
        (None, MODEL[:2], "Missing argument 'WEIGHTS'"),
    ],
)
def test_map_refusals(folder, darkpy, change, words, complaint):
    if change:
        (folder / change[0]).write_text(change[1])
    code, _, err = darkpy("map", *words)
    assert code == 2
    assert complaint in err


def test_valid_writes_what_the_judge_of_eval_wants(folder, darkpy):
    code, out, err = darkpy("valid", *MODEL)
    assert (code, out) == (0, " Detection layer: 4 - type = 28 \n"), err
    files = sorted(path.name for path in (folder / "results").iterdir())
    assert files == ["comp4_det_test_cat.txt", "comp4_det_test_dog.txt"]
    lines = (folder / "results" / files[0]).read_text().splitlines()
    assert lines and all(re.fullmatch(r"\d 0\.\d{6}( \d+\.\d{6}){4}", line) for line in lines)

    data = (folder / "tiny.data").read_text()
    (folder / "tiny.data").write_text(f"{data}eval = coco\nresults = out\n")
    assert darkpy("valid", *MODEL, "-out", "mine")[0] == 0
    records = json.loads((folder / "out" / "mine.json").read_text())
    assert {one["image_id"] for one in records} == {0, 1, 2, 3, 4}
    assert {one["category_id"] for one in records} <= {1, 2}


def test_valid_writes_what_is_more_likely_than_a_thousandth(folder, darkpy):
    write_model(folder, shift=-4.5)
    (folder / "tiny.data").write_text((folder / "tiny.data").read_text() + "eval = coco\n")
    assert darkpy("valid", *MODEL)[0] == 0
    rows = json.loads((folder / "results" / "coco_results.json").read_text())
    assert 0.001 < min(row["score"] for row in rows) < 0.002


def test_valid_and_map_coco_agree(folder, darkpy, monkeypatch):
    """The judge's own tool, given the file of `valid`, says what `map --coco` says."""
    monkeypatch.setattr("darkpy.evaluate.coco.MOST", 1000)  # `valid` writes them all
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    printed = darkpy("map", *MODEL, "--coco")[1].splitlines()
    data = (folder / "tiny.data").read_text()
    (folder / "tiny.data").write_text(f"{data}eval = coco\n")
    darkpy("valid", *MODEL)

    images = [{"id": n, "width": 80, "height": 48} for n in range(5)]
    truths = []
    for n in range(4):  # the fifth has no object
        for row in np.loadtxt(folder / f"{n}.txt", ndmin=2):
            k, (x, y, w, h) = row[0], row[1:]
            left, right = (np.clip(side, 0, 1) * 80 for side in (x - w / 2, x + w / 2))
            top, bottom = (np.clip(side, 0, 1) * 48 for side in (y - h / 2, y + h / 2))
            box = [left, top, right - left, bottom - top]
            one = {"id": len(truths) + 1, "image_id": n, "category_id": int(k) + 1, "iscrowd": 0}
            truths.append({**one, "bbox": box, "area": box[2] * box[3]})
    index = coco.COCO()
    categories = [{"id": 1}, {"id": 2}]
    index.dataset = {"images": images, "annotations": truths, "categories": categories}
    index.createIndex()
    judge = cocoeval.COCOeval(
        index, index.loadRes(str(folder / "results" / "coco_results.json")), "bbox"
    )
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    # Three digits are printed.
    assert [float(line[-6:]) for line in printed] == pytest.approx(judge.stats, abs=0.0005)


def test_recall_prints_a_line_a_picture(folder, darkpy):
    code, out, err = darkpy("recall", *MODEL)
    assert (code, out) == (0, "")
    lines = err.splitlines()
    form = r" {4}(\d) +(\d+) +(\d+)\tRPs/Img: \d+\.\d\d\tIOU: \d+\.\d\d%\tRecall:\d+\.\d\d%"
    found = [re.fullmatch(form, line) for line in lines]
    assert [match[1] for match in found] == list("01234")
    assert [int(match[3]) for match in found] == [3, 6, 9, 12, 12]
    assert int(found[-1][2]) > 0


def test_calc_anchors(folder, darkpy):
    words = ("calc_anchors", "tiny.data", "-num_of_clusters", "3", "-width", "64", "-height", "64")
    code, out, err = darkpy(*words, "-show")
    assert code == 0 and err == "-show: this version draws no chart of the anchors\n"
    form = r"""
 num_of_clusters = 3, width = 64, height = 64 
 read labels from 5 images 
 loaded \t image: 5 \t box: 12
 all loaded\. 

 calculating k-means\+\+ \.\.\.

 iterations = \d+ 


(counters_per_class = \d+, \d+)

 avg IoU = \d\d\.\d\d % 

Saving anchors to the file: anchors\.txt 
anchors = ((?: *\d+, *\d+(?:, |$)){3})
"""
    found = re.fullmatch(form, out, re.MULTILINE)
    assert (folder / "counters_per_class.txt").read_text() == found[1]
    assert (folder / "anchors.txt").read_text() == found[2]
    assert darkpy(*words)[1] == out
    small = darkpy(*words[:-3], "2", "-height", "2")[1]
    assert re.search(r"anchors = \d\.\d{4},\d\.\d{4}, ", small)


def test_calc_anchors_reports_labels_outside_their_picture(folder, darkpy):
    (folder / "4.txt").write_text("1 1.5 .5 .5 .5\n0 .5 .5 0 .5\n1 .5 .5 nan .5\n3 .5 .5 .2 .2\n")
    words = ("calc_anchors", "tiny.data", "-num_of_clusters=1", "-width=64", "--height=64")
    code, out, err = darkpy(*words)
    assert code == 0
    assert (
        "\n\nWrong label: 4.txt - j = 0, x = 1.500000, y = 0.500000, "
        "width = 0.500000, height = 0.500000 \n" in out
    )
    assert "4.txt - j = 1, x = 0.500000" in out
    assert "4.txt:3: " in err and "is not finite" in err
    assert re.search(r"counters_per_class = \d+, \d+, 0, 1\n", out)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("-width", "64"), "Missing option '-height'"),
        (("-width", "0", "-height", "64"), "0 is not in the range 1<=x<=1000000"),
        (("-width", "9", "-height", "9", "-num_of_clusters", "99"), "99 clusters, but the boxes"),
    ],
)
def test_calc_anchors_refusals(folder, darkpy, words, complaint):
    code, _, err = darkpy("calc_anchors", "tiny.data", *words)
    assert code == 2
    assert complaint in err


def test_a_class_map_is_not_passed_over_in_silence(folder, darkpy):
    with (folder / "tiny.data").open("a") as file:
        file.write("map = x.map\n")
    code, _, err = darkpy("map", *MODEL)
    assert code == 0 and "tiny.data: map is not applied in this version" in err
