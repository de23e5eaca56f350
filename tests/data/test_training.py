import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkpy.data.training import TrainingSet
from darkpy.errors import DataError, ImageError
from tests.data.coloured import coloured_set, write_png, write_set


def labelled(folder, *texts, classes=2):
    """Return a set of a black picture per text, which is its label file; None is no file."""
    paths = []
    for k, text in enumerate(texts):
        paths.append(write_png(folder / f"{k}.png", np.zeros((4, 4, 3), np.uint8)))
        if text is not None:
            (folder / f"{k}.txt").write_text(text)
    return TrainingSet(paths, classes)


def test_labels_and_counts(tmp_path):
    dataset = labelled(tmp_path, "0 .5 .5 .5 .5\n1 .25 .25 .1 .2\n", "", "1 .5 .5 1 1")
    assert len(dataset) == 3 and dataset.objects == 3
    assert np.allclose(dataset.labels(0), [[0, 0.5, 0.5, 0.5, 0.5], [1, 0.25, 0.25, 0.1, 0.2]])
    assert dataset.labels(1).shape == (0, 5) and dataset.labels(2).tolist() == [[1, 0.5, 0.5, 1, 1]]
    assert dataset.labels(0).dtype == np.float32
    assert (dataset.faults, dataset.summary(), dataset.bad_pictures) == ([], [], {})
    with pytest.raises(ValueError, match="read-only"):
        dataset.labels(0)[0, 0] = 7


@pytest.mark.parametrize(
    ("line", "kind", "rows"),
    [
        ("0 .5 .5 .1", "malformed", 1),
        ("2 .5 .5 .1 .1", "class", 2),
        ("-1 .5 .5 .1 .1", "class", 2),
        ("0 nan .5 .1 .1", "not finite", 2),
        ("0 .5 .5 0 .1", "no area", 2),
        ("0 .5 .5 .1 -.1", "no area", 2),
        ("0 0 0 .1 .1", "outside", 2),
        ("0 1.2 .5 .1 .1", "outside", 2),
        ("0 .5 -.2 .1 .1", "outside", 2),
        ("0 .95 .5 .2 .1", "beyond", 3),
        ("0 .5 .5 3 .1", "beyond", 3),
    ],
)
def test_faulty_labels(tmp_path, line, kind, rows):
    dataset = labelled(tmp_path, f"\n1 .5 .5 .1 .1\n{line}\n1 .4 .4 .1 .1\n")
    (fault,) = dataset.faults
    assert (fault.path, fault.line, fault.kind) == (str(tmp_path / "0.txt"), 3, kind)
    assert dataset.objects == len(dataset.labels(0)) == rows
    (line,) = dataset.summary()
    assert line.startswith(f"{tmp_path / '0.txt'}:3: ") and ("left out" in line) == (rows == 2)


def test_rounding_is_no_fault(tmp_path):
    assert not labelled(tmp_path, "0 .9969 .5 .0079 .1\n0 .5 .002 .1 .006\n").faults


def test_summary_has_a_line_a_kind_however_many_there_are(tmp_path):
    many = "".join(f"{k} .5 .5 .1 .1\n" for k in range(50)) + "0 .5 .5 0 0\n"
    dataset = labelled(tmp_path, many, None, many, None, "1 .5 .5")
    missing = str(tmp_path / "9.png")
    dataset = TrainingSet([*dataset.paths, missing], 2)
    assert dataset.unlabelled == 2
    assert dataset.summary() == [
        f"{missing}: no such file; 1 of 6 pictures cannot be used",
        f"{tmp_path / '1.txt'}: no label file, which means no object; so 2 of 6 pictures",
        f"{tmp_path / '0.txt'}:3: class 2: expected 0 to 1; the object is left out "
        "(96 such lines in 2 files)",
        f"{tmp_path / '0.txt'}:51: a box without area: 0.5 0.5 0 0; the object is left out "
        "(2 such lines in 2 files)",
        f"{tmp_path / '4.txt'}:1: expected 'class x y width height', got '1 .5 .5'; "
        "the rest of the file is not read",
    ]


def test_lists_of_what_is_bad(tmp_path):
    dataset = labelled(tmp_path, "0 .5 .5 .1 .1\n9 .5 .5 .1 .1", "0 .5 .5 0 .1\n7 .5 .5 .1 .1")
    (tmp_path / "1.png").write_bytes(b"no picture")
    dataset = TrainingSet([*dataset.paths, str(tmp_path / "0 missing.png")], 2)
    with pytest.raises(ImageError):
        dataset.read(1, 3)
    folder = tmp_path / "new" / "run"
    for _ in range(2):
        dataset.write_lists(folder)
        bad = (folder / "bad.list").read_text().splitlines()
        assert bad == [str(tmp_path / name) for name in ("0 missing.png", "1.png")]
        assert (folder / "bad_label.list").read_text().splitlines() == [
            f"{tmp_path / '0.txt'}:2: class 9: expected 0 to 1",
            f"{tmp_path / '1.txt'}:1: a box without area: 0.5 0.5 0 0.1",
            f"{tmp_path / '1.txt'}:2: class 7: expected 0 to 1",
        ]
    good = coloured_set(tmp_path)
    good.write_lists(folder)
    assert (folder / "bad.list").read_text() == (folder / "bad_label.list").read_text() == ""
    good.write_lists(tmp_path / "other")
    assert os.listdir(tmp_path / "other") == []


@pytest.mark.parametrize(
    ("texts", "complaint"),
    [
        ([None, None], r"0\.txt: no such file, nor a label file of any other"),
        (["", "\n"], r"0\.txt: no picture has an object that can be trained on"),
        (["0 .5 .5 0 0"], r"0\.txt:1: a box without area.*: no picture has an object"),
        (["7 .5 .5 .1 .1", ""], r"0\.txt:1: class 7: expected 0 to 1; no object of any .*'names'"),
    ],
)
def test_sets_without_an_object(tmp_path, texts, complaint):
    with pytest.raises(DataError, match=complaint):
        labelled(tmp_path, *texts)


def test_sets_without_a_picture(tmp_path):
    with pytest.raises(DataError, match="the list is empty"):
        TrainingSet([], 2)
    with pytest.raises(DataError, match=r"a\.png: no such file; nor can any other of the 2 ") as it:
        TrainingSet([tmp_path / "sub" / "a.png", tmp_path / "sub" / "b.png"], 2)
    assert f"in {tmp_path / 'sub'};" in str(it.value)
    with pytest.raises(DataError, match="sampling 'all': expected 'epoch' or 'darknet'"):
        TrainingSet(["a.png"], 2, "all")


def test_pictures_whose_labels_cannot_be_read_are_not_used(tmp_path):
    dataset = labelled(tmp_path, "0 .5 .5 .1 .1", None)
    with (tmp_path / "1.txt").open("wb") as file:
        os.truncate(file.fileno(), 5 << 20)
    dataset = TrainingSet(dataset.paths, 2)
    assert list(dataset.bad_pictures) == [dataset.paths[1]]
    with pytest.raises(ImageError, match=r"1\.txt: longer than 4 MiB"):
        dataset.read(1, 3)


def test_an_epoch_has_every_picture_once(tmp_path):
    dataset = coloured_set(tmp_path)
    epochs = [[dataset.draw(3, 6 * k + i) for i in range(6)] for k in range(20)]
    assert all(sorted(epoch) == list(range(6)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) > 15
    assert dataset.draw(3, 61) == epochs[10][1]  # in whatever order it is asked for
    assert [dataset.draw(4, i) for i in range(6)] != epochs[0]


def test_darknet_draws_from_all(tmp_path):
    dataset = TrainingSet(write_set(tmp_path), 6, "darknet")
    drawn = [dataset.draw(3, i) for i in range(600)]
    assert [dataset.draw(3, i) for i in range(600)] == drawn
    assert all(70 < drawn.count(k) < 130 for k in range(6))
    assert any(len(set(drawn[k : k + 6])) < 6 for k in range(0, 60, 6))


def test_digest_is_of_names_pictures_and_objects(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, moved = coloured_set(tmp_path / "a"), coloured_set(tmp_path / "b")
    assert first.digest() == moved.digest() and len(first.digest()) == 64
    label = tmp_path / "b" / "002.txt"
    text = label.read_text()
    label.write_bytes(text.replace("\n", "\r\n").encode())
    assert TrainingSet(moved.paths, 6).digest() == first.digest()
    label.write_text(text.replace(" 0.", " 0.0", 1))
    others = [TrainingSet(moved.paths, 6).digest()]
    label.write_text(text)
    others.append(TrainingSet(moved.paths[::-1], 6).digest())
    os.rename(moved.paths[0], tmp_path / "b" / "new.png")
    os.rename(tmp_path / "b" / "000.txt", tmp_path / "b" / "new.txt")
    renamed = [str(tmp_path / "b" / "new.png"), *moved.paths[1:]]
    others.append(TrainingSet(renamed, 6).digest())
    os.rename(renamed[0], moved.paths[0])
    os.rename(tmp_path / "b" / "new.txt", tmp_path / "b" / "000.txt")
    with open(moved.paths[0], "ab") as file:
        file.write(b"more")
    others.append(moved.digest())
    assert len({first.digest(), *others}) == 5


@settings(max_examples=40)
@given(data=st.binary(max_size=60) | st.text("0123456789.-e naif\n", max_size=60))
def test_labels_of_any_bytes(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    good, any_ = (write_png(folder / f"{k}.png", np.zeros((2, 2, 3), np.uint8)) for k in "ga")
    (folder / "g.txt").write_text("0 .5 .5 .5 .5")
    (folder / "a.txt").write_bytes(data if isinstance(data, bytes) else data.encode())
    found = TrainingSet([good, any_], 3).labels(1)
    assert np.isfinite(found).all() and (found[:, 3:] > 0).all()
    assert (found[:, 0] >= 0).all() and (found[:, 0] < 3).all()
