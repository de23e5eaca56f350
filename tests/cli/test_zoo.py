"""darkpy zoo: what it prints, and its exit status."""

import numpy as np
import pytest

import darkpy
from darkpy import zoo
from darkpy.cli import main
from tests.serving import Site, serve

NAME = "yolo-fastest-1.1"


@pytest.fixture
def run(capsys):
    """Run the command line; return exit status, stdout and stderr."""

    def run(*words):
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        return stop.value.code, *capsys.readouterr()

    return run


def test_list_shows_every_model(run, monkeypatch, tmp_path):
    monkeypatch.setattr(zoo, "cache_dir", lambda: tmp_path)
    (tmp_path / "yolov4.weights").touch()
    status, out, _ = run("zoo", "list")
    lines = out.splitlines()
    assert status == 0
    assert [line.split()[0] for line in lines[1:]] == list(zoo.MODELS)
    assert [line.split()[0] for line in lines if " yes " in line] == ["yolov4"]


def test_get_prints_the_path_alone(run, monkeypatch, tmp_path):
    network = darkpy.Network.from_cfg(zoo.cfg_path(f"{NAME}.cfg"))
    drawn = tmp_path / "drawn.weights"
    darkpy.write_weights(network, network.initial_params(np.random.default_rng(0)), drawn)
    with serve(Site(drawn.read_bytes())) as site:
        monkeypatch.setitem(zoo.MODELS, NAME, zoo.Model(NAME, site.url))
        status, out, err = run("zoo", "get", NAME, "--out", tmp_path / "out")
    assert (status, out) == (0, f"{tmp_path / 'out' / NAME}.weights\n")
    assert "darkpy detector test" in err
    assert (tmp_path / "out" / f"{NAME}.weights").read_bytes() == drawn.read_bytes()


def test_get_says_in_one_line_what_is_wrong(run, monkeypatch, tmp_path):
    with serve(Site(b"", statuses=[404])) as site:
        monkeypatch.setitem(zoo.MODELS, NAME, zoo.Model(NAME, site.url))
        status, out, err = run("zoo", "get", NAME, "--out", tmp_path)
    assert (status, out) == (2, "")
    assert err == f"error: {site.url}: the server answers 404 Not Found\n"


def test_get_names_the_nearest_model(run):
    status, _, err = run("zoo", "get", "yolov4tiny")
    assert status == 2
    assert err == "error: the zoo has no 'yolov4tiny'; did you mean 'yolov4-tiny'?\n"
