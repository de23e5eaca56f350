import hashlib
import json
import os
import subprocess

import pytest

from darkpy.cfg import read_data
from darkpy.errors import DarkpyError
from darkpy.network import Network
from darkpy.train.manifest import Manifest, describe, read_manifest, sha256

CFG = """[net]
width=32
height=32
channels=3
learning_rate=0.01
[convolutional]
filters=18
size=1
activation=linear
[yolo]
mask=0,1,2
anchors=1,2, 3,4, 5,6
num=3
classes=1
"""
WORDS = ["detector", "train", "obj.data", "tiny.cfg", "-seed", "3"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the working folder of a training: a .cfg, .data, .names and .weights lie in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.cfg").write_text(CFG, "utf-8")
    (tmp_path / "obj.data").write_text("classes=1\nnames=obj.names\n", "utf-8")
    (tmp_path / "obj.names").write_text("강아지\n", "utf-8")
    (tmp_path / "start.weights").write_bytes(b"\0\1\2")
    return tmp_path


def described(**changes):
    values = {
        "weights": "start.weights",
        "version": "1.2",
        "seed": 3,
        "overrides": ("net.batch=8",),
        "names": ("강아지",),
        "data_set": {"digest": "abc", "train": 10, "objects": 30},
    }
    network = Network.from_cfg("tiny.cfg")
    return describe(WORDS, network, read_data("obj.data"), **{**values, **changes})


def test_it_comes_back_as_it_was_written(folder):
    manifest = described()
    manifest.write(folder)
    found = read_manifest(folder)
    assert found.argv == tuple(WORDS)
    assert (found.cwd, found.seed, found.device) == (os.getcwd(), 3, "cpu")
    assert (found.version, found.overrides, found.names) == ("1.2", ("net.batch=8",), ("강아지",))
    assert found.data_set == manifest.data_set and found.machine == manifest.machine
    assert json.loads((folder / "manifest.json").read_text("utf-8"))["names"] == ["강아지"]


def test_values_are_resolved(folder):
    manifest = described()
    assert manifest.net["learning_rate"] == 0.01
    assert manifest.net["momentum"] == 0.9  # a default
    assert manifest.heads["yolo_1"]["ignore_thresh"] == 0.5
    assert set(manifest.libraries) == {"python", "numpy", "numba", "opencv"}
    assert manifest.machine["cores"] and manifest.machine["processor"]


def test_thread_counts_are_told_and_secrets_are_not(folder, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("MY_TOKEN", "secret")
    machine = described().machine
    assert machine["environment"]["OMP_NUM_THREADS"] == "7"
    assert "secret" not in str(machine)


def test_inputs_have_sums_and_text_is_copied(folder):
    manifest = described()
    digest = hashlib.sha256(b"\0\1\2").hexdigest()
    names = {os.path.basename(path): one for path, one in manifest.inputs.items()}
    assert names["start.weights"] == digest
    assert set(names) == {"tiny.cfg", "obj.data", "obj.names", "start.weights"}
    (folder / "run").mkdir()
    manifest.copy_inputs(folder / "run")
    copies = sorted(path.name for path in (folder / "run").iterdir())
    assert copies == ["obj.data", "obj.names", "tiny.cfg"]
    assert (folder / "run" / "tiny.cfg").read_text("utf-8") == CFG


def test_what_has_changed_is_told(folder, tmp_path_factory, monkeypatch):
    manifest = described()
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert manifest.changed() == []
    (folder / "tiny.cfg").write_text(CFG + "max=30\n", "utf-8")
    (folder / "start.weights").unlink()
    cfg, weights = manifest.changed()
    assert cfg.endswith("tiny.cfg: has changed since the run")
    assert weights == "start.weights: is gone"


def test_a_resumption_is_told(folder):
    manifest = described().after(120, ["detector", "train", "-resume"])
    manifest.write(folder)
    (one,) = read_manifest(folder).resumed
    assert one["iteration"] == 120 and one["argv"] == ["detector", "train", "-resume"]


def test_the_commit_is_told(folder):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    try:
        subprocess.run([*git, "init", "-q"], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is no git")
    assert "cwd" not in described().commits  # nothing is committed
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "one"], check=True)
    commit = described().commits["cwd"]
    assert len(commit) == 40
    (folder / "tiny.cfg").write_text(CFG + "max=30\n", "utf-8")
    assert described().commits["cwd"] == f"{commit}-dirty"


def test_without_git_no_commit_is_told(folder, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert described().commits == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "is not the manifest of a run"),
        ("[1]", "is not the manifest of a run"),
        ('{"argv": ["a"]}', "is not the manifest of a run: .*missing"),
        ('{"argv": 5, "cwd": "", "version": "", "seed": 0, "device": "", "started": ""}', "is not"),
        ('{"argv": [5], "cwd": "", "version": "", "seed": 0, "device": "", "started": ""}', "argv"),
        ('{"cwd": "", "version": "", "seed": 0, "device": "", "started": ""}', "argv"),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path, text, complaint):
    (tmp_path / "manifest.json").write_text(text, "utf-8")
    with pytest.raises(DarkpyError, match=f"manifest.json: {complaint}"):
        read_manifest(tmp_path)


def test_a_manifest_of_a_later_version_is_read(tmp_path):
    manifest = Manifest(("a",), "/", "9", 0, "cpu", "now")
    manifest.write(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(path.read_text("utf-8").replace("{", '{"planet": "mars",', 1), "utf-8")
    assert read_manifest(tmp_path) == manifest


def test_no_manifest_is_an_error_that_says_what_was_expected(tmp_path):
    with pytest.raises(DarkpyError, match=r"holds no manifest\.json; expected the folder of a run"):
        read_manifest(tmp_path)


def test_an_input_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(DarkpyError, match=r"none\.weights: cannot be read"):
        sha256(tmp_path / "none.weights")
