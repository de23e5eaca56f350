"""darkpy quickstart: the commands that it runs, where it runs them, and what they leave."""

import re
from pathlib import Path

import pytest

from darkpy import zoo
from darkpy.cli import main


@pytest.fixture
def quickstart(capfd, monkeypatch, tmp_path):
    """Run `darkpy quickstart` in tmp_path; return exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        with pytest.raises(SystemExit) as stop:
            main(["quickstart", *(str(word) for word in words)])
        return stop.value.code, *capfd.readouterr()

    return run


@pytest.fixture
def hasty(monkeypatch, tmp_path):
    """Let the training end after two iterations."""
    text = zoo.cfg_path("shapes.cfg").read_text("utf-8")
    for key, value in {"max_batches": "2", "burn_in": "1", "steps": "1,2"}.items():
        text, count = re.subn(rf"^{key}=.*$", f"{key}={value}", text, flags=re.MULTILINE)
        assert count == 1
    path = tmp_path / "hasty.cfg"
    path.write_text(text, "utf-8")
    monkeypatch.setattr(zoo, "cfg_path", lambda name: path)


def commands(out: str) -> list[str]:
    return [line for line in out.splitlines() if line.startswith("$ ")]


def test_each_command_is_shown_and_run_and_its_folder_is_used_again(quickstart, hasty, tmp_path):
    status, out, err = quickstart("--pictures", 16, "--seed", 3)
    assert status == 0, err
    best = "backup/shapes_best.weights"
    fullest = "images/valid/00017.jpg"  # four objects; the others have two
    assert commands(out) == [
        "$ cd darkpy-quickstart",
        "$ darkpy detector train shapes.data shapes.cfg -map --seed 3",
        f"$ darkpy detector map shapes.data shapes.cfg {best}",
        f"$ darkpy detector test shapes.data shapes.cfg {best} {fullest} -dont_show",
    ]
    assert " 2: " in out and out.count("mean average precision (mAP@0.50) = ") == 2
    assert f"{fullest}: Predicted in" in out
    folder = tmp_path / "darkpy-quickstart"
    for name in ("predictions.jpg", "backup/chart.png", best, "images/train/00015.txt"):
        assert (folder / name).is_file(), name
    assert len((folder / "valid.txt").read_text().split()) == 4
    assert Path.cwd() == tmp_path
    manifests = list((folder / "backup" / "runs").glob("*/manifest.json"))
    assert len(manifests) == 1 and '"-map"' in manifests[0].read_text("utf-8")
    # the folder of an earlier one is used again
    status, out, err = quickstart("--pictures", 16, "--seed", 4)
    assert status == 0, err
    assert "shapes.cfg -map --seed 4" in commands(out)[1]
    assert len(list((folder / "backup" / "runs").glob("*/manifest.json"))) == 2


def test_another_folder_that_is_not_empty_is_left_alone(quickstart, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("kept")
    status, out, err = quickstart("mine")
    assert (status, out) == (2, "")
    assert err == "error: mine: is not empty; name a new folder: darkpy quickstart FOLDER\n"
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_it_ends_with_the_first_command_that_fails(quickstart, monkeypatch, tmp_path):
    bad = tmp_path / "bad.cfg"
    bad.write_text("[net]\nwidth=32\nheight=32\nchannels=3\n[yollo]\n")
    monkeypatch.setattr(zoo, "cfg_path", lambda name: bad)
    status, out, err = quickstart("--pictures", 16)
    assert status == 2
    assert len(commands(out)) == 2 and "yollo" in err
    assert Path.cwd() == tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_network_learns_the_shapes(quickstart, seed):
    status, out, err = quickstart("--seed", seed)
    assert status == 0, err
    *_, last = re.findall(r"mAP@0\.50\) = ([0-9.]+)", out)
    assert float(last) > 0.9
