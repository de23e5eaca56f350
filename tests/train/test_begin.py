import os
import re
import shutil
from contextlib import closing

import numpy as np
import pytest

from darkpy import Network, read_weights, write_weights
from darkpy.errors import DarkpyError, TrainingError
from darkpy.train import begin as module
from darkpy.train import loop, record
from darkpy.train.begin import base_name, runs_of
from tests.train.project import ALL, figures, prepared, state, train, weights, write_project


@pytest.fixture(autouse=True)
def _no_chart(monkeypatch):
    """Draw none: it takes most of the time, and has its own tests."""
    monkeypatch.setattr(record, "draw_chart", lambda *_, **__: b"")


@pytest.fixture
def folder(tmp_path):
    return write_project(tmp_path / "a b")


def opened(folder, **changes):
    """Return a run that was prepared, with its record closed."""
    run = prepared(folder, **changes)
    run.record.close()
    return run


def test_names_of_weights():
    assert base_name("cfg/yolov4.custom.cfg") == "yolov4" and base_name(".cfg") == ".cfg"


def test_runs_are_numbered_and_the_newest_is_resumed(folder):
    train(folder, stop_at=1)
    train(folder, stop_at=2)
    train(folder, stop_at=1, resume=True)  # whose next iteration is the third
    runs = folder / "backup" / "runs"
    assert [path.name for path in runs_of(folder / "backup", "tiny")] == ["tiny-1", "tiny-2"]
    assert state(folder, 2)[1]["trainer"]["iteration"] == 3
    train(folder, stop_at=2, resume=True, run=runs / "tiny-1")
    assert [path.name for path in runs_of(folder / "backup", "tiny")] == ["tiny-2", "tiny-1"]


def test_runs_of_a_cfg_with_a_longer_name_are_others(folder):
    (folder / "tiny-3.cfg").write_text((folder / "tiny.cfg").read_text())
    other = opened(folder, run=None)
    assert other.record.folder.name == "tiny-1"
    run = module.begin(
        module.Request(
            str(folder / "tiny.data"), str(folder / "tiny-3.cfg"), arguments=("x",), evaluate=False
        ),
        other.watch,
    )
    with closing(run.record):
        run.backup.save(run.course)
    assert run.record.folder.name == "tiny-3-1"
    assert runs_of(folder / "backup", "tiny") == []


def test_nothing_to_resume(folder):
    with pytest.raises(TrainingError, match=r"runs: holds no run of tiny.cfg to resume"):
        prepared(folder, resume=True)
    with pytest.raises(TrainingError, match=r"nowhere: holds no state.npz"):
        prepared(folder, resume=True, run=folder / "nowhere")


def test_a_folder_that_holds_a_run_is_refused(folder):
    train(folder, stop_at=1, run=folder / "mine")
    rows = (folder / "mine" / "metrics.csv").read_bytes()
    with pytest.raises(TrainingError, match="mine: holds a run; --resume goes on with it"):
        prepared(folder, run=folder / "mine")
    (folder / "mine" / "state.npz").rename(folder / "mine" / "moved.npz")
    with pytest.raises(DarkpyError, match="of an earlier run"):
        prepared(folder, run=folder / "mine")
    shutil.rmtree(folder / "backup")
    with pytest.raises(TrainingError, match=r"tiny.cfg: is a file; expected a folder"):
        prepared(folder, run=folder / "tiny.cfg")
    assert not (folder / "backup").exists()
    assert (folder / "mine" / "metrics.csv").read_bytes() == rows


def test_weights_of_an_earlier_run_are_kept(folder):
    train(folder, stop_at=2, save_every=1)
    before = weights(folder)
    run, _ = train(folder, stop_at=1, seed=1, save_every=1)
    kept = {path.name: path.read_bytes() for path in run.record.folder.glob("replaced/*")}
    assert kept == before and kept["tiny_1.weights"] != weights(folder)["tiny_1.weights"]


def test_what_cannot_be_linked_is_copied(folder, monkeypatch):
    train(folder, stop_at=1)
    before = weights(folder)

    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    run, _ = train(folder, stop_at=1, seed=1)
    assert (run.record.folder / "replaced" / "tiny_last.weights").read_bytes() == (
        before["tiny_last.weights"]
    )


def test_an_older_run_that_is_resumed_keeps_the_weights_of_the_newer(folder):
    train(folder, stop_at=2)
    train(folder, stop_at=2, seed=1)
    newer = weights(folder)
    first = folder / "backup" / "runs" / "tiny-1"
    opened(folder, resume=True, run=first)  # and is killed before it saves
    assert runs_of(folder / "backup", "tiny")[-1] == first
    train(folder, stop_at=4, resume=True)
    kept = first / "replaced" / "tiny-2" / "tiny_last.weights"
    assert kept.read_bytes() == newer["tiny_last.weights"] != weights(folder)["tiny_last.weights"]
    assert not (first / "replaced" / "tiny-1").exists()


def test_what_a_killed_process_left_half_written_is_removed(folder):
    train(folder, stop_at=1)
    backup, run = folder / "backup", folder / "backup" / "runs" / "tiny-1"
    own = (
        backup / "tiny_last.weights.0123abcd.partial",
        backup / "tiny_1000.weights.0123abcd.partial",
        backup / "chart_tiny.png.0123abcd.partial",
        run / "state.npz.0123abcd.partial",
    )
    others = (
        backup / "tiny_two_last.weights.0123abcd.partial",  # of another, which may be running
        backup / "tiny_last.weights.partial",
    )
    for path in (*own, *others):
        path.write_bytes(b"half")
    train(folder, stop_at=2, resume=True)
    assert not [path for path in own if path.exists()]
    assert all(path.exists() for path in others)


def weights_seen(folder, seen):
    path = folder / "some.weights"
    network = Network.from_cfg(folder / "tiny.cfg")
    write_weights(network, network.initial_params(np.random.default_rng(1)), path, seen)
    return str(path)


def test_weights_that_have_seen_pictures_count_on_and_clear_begins_anew(folder):
    path = weights_seen(folder, 23)  # of 4 an iteration
    assert opened(folder, weights=path).trainer.iteration == 5
    assert opened(folder, weights=path, clear=True).trainer.iteration == 0
    with pytest.raises(TrainingError, match=r"max_batches=20, but the weights have 20 .*-clear"):
        prepared(folder, weights=weights_seen(folder, 80))


def test_what_counts_on_is_a_run_of_the_rest(folder):
    run, ending = train(folder, weights=weights_seen(folder, 60))
    assert ending.iteration == 20
    assert [int(row.split(b",")[0]) for row in figures(folder)[1:-1]] == [16, 17, 18, 19, 20]
    assert read_weights(run.trainer.network, run.backup.path("final")).seen == 80


def test_what_counts_on_may_change_its_size_and_its_batch(tmp_path):
    folder = write_project(tmp_path / "a", **ALL)
    _, ending = train(folder, stop_at=16, weights=weights_seen(folder, 60))
    assert ending.iteration == 16


def test_the_part_of_the_training_pictures_is_that_of_the_run_s_seed(folder, monkeypatch):
    seeds = []
    part = module.part_of

    def spied(labelled, count, seed):
        seeds.append(seed)
        return part(labelled, count, seed)

    monkeypatch.setattr(module, "part_of", spied)
    train(folder, stop_at=1, seed=9, evaluate=True)
    opened(folder, resume=True, evaluate=True)
    assert seeds == [9, 9]


def test_a_run_that_goes_on_as_another_says_so(folder, caplog):
    train(folder, stop_at=1)
    opened(folder, resume=True, seed=0)
    assert "the run began with" not in caplog.text and "--seed" not in caplog.text
    opened(folder, resume=True, seed=3)
    settings = ("net.learning_rate=.5", "yolo.jitter=.1")
    assert "--seed 3: the run goes on with its own, 0" in caplog.text
    opened(folder, resume=True, settings=settings, darknet_sampling=True)
    assert "layer 4 [yolo] jitter=0.1 now; the run began with 0.2" in caplog.text
    assert "[net] learning_rate=0.5 now; the run began with 0.001" in caplog.text
    assert "the run began with --sampling epoch" in caplog.text
    (folder / "images" / "0.txt").write_text("0 .5 .5 .2 .2\n")
    opened(folder, resume=True)
    assert "labels have changed since the run began" in caplog.text


@pytest.mark.parametrize(("share", "words"), [(0.5, ""), (1.0, "may just fit"), (1.4, "error")])
def test_a_training_that_cannot_fit_is_refused_at_once(folder, monkeypatch, caplog, share, words):
    network = Network.from_cfg(folder / "tiny.cfg")
    there = int(module.needed_memory(network, 4, 2) / share)
    monkeypatch.setattr(module, "physical_memory", lambda: there)
    if words == "error":
        with pytest.raises(TrainingError, match=r"tiny.cfg: not enough memory to train: .*GiB"):
            prepared(folder)
        assert not (folder / "backup").exists()
    else:
        opened(folder)
        assert ("may just fit" in caplog.text) == bool(words)


def test_pictures_to_validate_with_that_are_not_there(folder):
    (folder / "gone.txt").write_text("images/0x.png\nimages/1x.png\n")
    (folder / "images" / "0x.txt").write_text("0 .5 .5 .2 .2\n")
    data = folder / "tiny.data"
    data.write_text(data.read_text().replace("valid = train.txt", "valid = gone.txt"))
    with pytest.raises(TrainingError, match=r"0x.png: no such file, nor any other of .*gone.txt"):
        prepared(folder, evaluate=True)


def test_memory_is_asked_for_the_largest_size(tmp_path, monkeypatch):
    folder = write_project(tmp_path / "a", head="random=1")
    asked = []
    monkeypatch.setattr(
        module, "needed_memory", lambda network, *_: asked.append(network.image) or 1
    )
    opened(folder)
    assert asked == [(3, 64, 64)]  # 1.4 * 32, and darknet's step of 32 more


def test_a_folder_that_cannot_be_made(folder):
    (folder / "file").write_text("")
    with pytest.raises(DarkpyError, match=re.escape(str(folder / "file"))):
        prepared(folder, run=folder / "file" / "run")


def test_habits_are_darknets(folder):
    habits = opened(folder).habits
    assert (habits.number_every, habits.save_every) == (1000, 100)
    long = opened(folder, settings=("net.max_batches=10000",)).habits
    assert (long.number_every, long.save_every) == (10_000, 100)
    own = opened(folder, evaluate=True, save_every=7, keep=2, patience=3, max_hours=1.5).habits
    assert (own.number_every, own.save_every) == (7, 7)
    assert (own.keep, own.patience, own.max_hours) == (2, 3, 1.5)
    assert opened(folder, map_epochs=4).habits.evaluate_every == 6  # 4 * 6 pictures / 4


def test_a_run_waits_for_burn_in_before_it_evaluates(folder, monkeypatch):
    monkeypatch.setattr(loop, "LEAST_BETWEEN", 2)
    run = prepared(folder, evaluate=True, map_epochs=1, settings=("net.burn_in=9",))
    with closing(run.record):
        assert run.next_evaluation == 9
