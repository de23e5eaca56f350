"""darkpy.train.overfit: what a network can learn by heart, and what it says when it cannot."""

import re

import numpy as np
import pytest

from darkpy import DataError, TrainingError
from darkpy.train.overfit import overfit
from tests.tiny import CFG, write_training

FILES = ("tiny.data", "tiny.cfg")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Go to a folder with the files of a training."""
    monkeypatch.chdir(tmp_path)
    return write_training(tmp_path)


def said(found):
    """Return the sentences as one text."""
    return "\n".join(found.sentences())


def test_a_picture_is_learned(folder):
    found = overfit(*FILES, count=1, iterations=300)
    assert found.learned and found.map50 == 1 and found.iteration < 300
    assert found.pictures == [str(folder / "0.png")] or found.pictures == ["0.png"]
    assert found.truths == 2 and found.matched >= 2
    assert found.losses[-1] < found.losses[0] / 10
    assert "The pipeline can learn" in said(found)
    assert {path.name for path in folder.iterdir()} & {"backup", "runs"} == set()


def test_a_class_that_no_picture_has_does_not_count(folder):
    (folder / "0.txt").write_text("1 .3 .3 .2 .2\n1 .7 .6 .3 .4\n")
    found = overfit(*FILES, count=1, iterations=300)
    assert found.report.truths.tolist() == [0, 2]
    assert found.learned, said(found)


def test_too_few_iterations(folder):
    found = overfit(*FILES, count=2, iterations=10)
    assert not found.learned
    assert found.iteration == 10
    assert "let it run longer" in said(found)


def test_anchors_in_no_mask(folder):
    text = CFG.replace("mask=0,1,2", "mask=0").replace("filters=21", "filters=7")
    (folder / "tiny.cfg").write_text(text)
    (folder / "0.txt").write_text("0 .5 .5 .8 .9\n")
    found = overfit(*FILES, count=1, iterations=50)
    assert found.matched == 0 and not found.learned
    assert "Not one of 1 objects was given to an anchor" in said(found)


def test_a_rate_that_is_too_high(folder):
    with pytest.raises(TrainingError, match=r"^iteration \d+: .*not finite|no finite") as caught:
        overfit(*FILES, count=1, iterations=50, settings=("net.learning_rate=1e20",))
    assert "--set net.learning_rate=1e+19" in str(caught.value)


def test_pictures_without_objects_are_passed_over(folder):
    (folder / "0.txt").write_text("")
    found = overfit(*FILES, count=1, iterations=10)
    assert found.pictures[0].endswith("1.png")


def test_no_picture_has_an_object(folder):
    for path in folder.glob("[0-9].txt"):
        path.write_text("")
    with pytest.raises(DataError, match=r"train\.list: no picture has a label file"):
        overfit(*FILES, iterations=10)


def test_labels_that_are_no_objects_are_not_learned(folder):
    rng = np.random.default_rng(1)
    for path in folder.glob("[0-9].txt"):
        rows = rng.uniform(0.2, 0.8, (12, 2))
        lines = (f"{rng.integers(2)} {x:.3f} {y:.3f} .01 .01\n" for x, y in rows)
        path.write_text("".join(lines))
    found = overfit(*FILES, count=3, iterations=50)
    assert not found.learned


def test_what_the_cfg_says_of_schedules_does_not_matter(folder, caplog):
    text = CFG.replace("[net]\n", "[net]\npolicy=steps\nsteps=1\nscales=0\nburn_in=5000\n")
    (folder / "tiny.cfg").write_text(text)
    assert overfit(*FILES, count=1, iterations=300).learned
    assert not re.search("burn_in|steps|noisy", caplog.text)
