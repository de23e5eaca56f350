from contextlib import closing

import numpy as np
import pytest

from darkpy.data.loader import Loader
from darkpy.errors import DataError, TrainingError
from darkpy.train import loop, record, schedule, trainer
from darkpy.train.trainer import Trainer
from tests.train.project import (
    ALL,
    Silent,
    assert_same,
    figures,
    prepared,
    state,
    train,
    weights,
    write_project,
)


@pytest.fixture
def short(monkeypatch):
    """Make all that happens now and then happen within twenty iterations."""
    monkeypatch.setattr(loop, "LEAST_BETWEEN", 4)
    monkeypatch.setattr(trainer, "LAST_WITHOUT_EMA", 5)
    monkeypatch.setattr(schedule, "LAST_AT_FULL_SIZE", 4)
    monkeypatch.setattr(schedule, "RESIZED_EVERY", 3)
    monkeypatch.setattr(loop, "DRAWN_EVERY", 100)


@pytest.fixture(autouse=True)
def _no_chart(monkeypatch):
    """Draw none: it takes most of the time, and has its own tests."""
    monkeypatch.setattr(record, "draw_chart", lambda *_, **__: b"")
    monkeypatch.setattr(record, "draw_worst", lambda *_, **__: [])


EVERY = {"evaluate": True, "map_epochs": 2, "save_every": 6}


@pytest.mark.parametrize(("kind", "workers"), [("all", 3), ("plain", 1)])
def test_ten_and_ten_are_twenty(short, tmp_path, kind, workers):
    options = ALL if kind == "all" else {}
    straight = write_project(tmp_path / "straight", **options)
    parts = write_project(tmp_path / "parts", **options)
    train(straight, **EVERY)
    _, ending = train(parts, stop_at=10, **EVERY)
    assert ending.how == "stopped" and ending.iteration == 10
    _, ending = train(parts, resume=True, **{**EVERY, "workers": workers})
    assert ending.how == "finished" and ending.iteration == 20
    assert_same(straight, parts)
    assert {"tiny_best.weights", "tiny_final.weights", "tiny_6.weights"} <= weights(parts).keys()


def test_the_sizes_and_the_average_of_that_training_change(short, tmp_path):
    folder = write_project(tmp_path / "a", **ALL)
    run, _ = train(folder, **EVERY)
    rows = [row.split(b",") for row in figures(folder)[1:-1]]
    assert len({row[5] for row in rows}) > 1
    assert len({row[7] for row in rows}) > 1  # with dynamic_minibatch, pictures too
    assert run.trainer.average is not None and "tiny_ema.weights" in weights(folder)


def test_stops_everywhere_change_nothing(tmp_path):
    straight, parts = (write_project(tmp_path / name) for name in "ab")
    train(straight)
    train(parts, stop_at=1)
    for at in range(3, 23, 2):
        train(parts, stop_at=at, resume=True)
    assert_same(straight, parts)


def test_the_next_batch_is_that_of_a_run_without_a_stop(tmp_path):
    straight, parts = (write_project(tmp_path / name, "mosaic=1") for name in "ab")
    train(parts, stop_at=7)
    runs = [prepared(straight), prepared(parts, resume=True)]
    with closing(runs[0].record), closing(runs[1].record):
        with runs[0].loader(7) as one, runs[1].loader(runs[1].trainer.iteration) as other:
            mine, theirs = next(one), next(other)
    assert mine.images.tobytes() == theirs.images.tobytes()
    assert [a.tobytes() for a in mine.truths] == [b.tobytes() for b in theirs.truths]


def test_a_run_can_be_made_longer(tmp_path):
    folder = write_project(tmp_path / "a")
    train(folder)
    _, ending = train(folder, resume=True, settings=("net.max_batches=30",))
    assert ending.iteration == 30
    assert [int(row.split(b",")[0]) for row in figures(folder)[1:-1]] == list(range(1, 31))


def test_tensorboard_hides_what_a_killed_run_did_after_its_last_save(tmp_path):
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    folder = write_project(tmp_path / "a")
    train(folder, stop_at=4)
    train(folder, stop_at=6, resume=True)
    files = sorted(folder.glob("backup/runs/tiny-1/events*"), key=lambda one: one.name[-1])
    starts = []
    for file in files:
        data, at = file.read_bytes(), 0
        while at < len(data):
            size = int.from_bytes(data[at : at + 8], "little")
            event = Event.FromString(data[at + 12 : at + 12 + size])
            starts += [event.step] if event.session_log.status == SessionLog.START else []
            at += size + 16
    assert starts == [1, 5]


# A loss, a gradient or a weight that is not finite.


def poison(monkeypatch, at, what="loss", times=1):
    """Spoil the steps of an iteration, ``times`` times."""
    left = [times]
    step = Trainer.step

    def spoiled(self, images, truths):
        if self.iteration + 1 == at and left[0]:
            left[0] -= 1
            if what == "loss":
                images = np.full_like(images, np.nan)
            else:
                self.params[0]["weights"][0, 0, 0, 0] = np.inf
        return step(self, images, truths)

    monkeypatch.setattr(Trainer, "step", spoiled)


def test_a_loss_that_is_not_finite_goes_back_at_half_the_rate(tmp_path, monkeypatch, caplog):
    folder = write_project(tmp_path / "a")
    poison(monkeypatch, 7)
    watch = Silent()
    run, ending = train(folder, save_every=4, watch=watch)
    assert ending.how == "finished" and run.trainer.rate_scale == 0.5
    assert watch.told == [*range(1, 7), *range(5, 21)]
    (message,) = [one.message for one in caplog.records if "iteration 7" in one.message]
    assert "layer 0 [convolutional]" in message and "rate 0.001;" in message
    assert "images" in message and "back to iteration 4" in message
    rows = [row.split(b",") for row in figures(folder)[1:-1]]
    assert [int(row[0]) for row in rows] == list(range(1, 21))
    assert float(rows[6][4]) == 0.0005
    arrays, _ = state(folder)
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_a_weight_that_is_not_finite_does_so_too(tmp_path, monkeypatch):
    folder = write_project(tmp_path / "a")
    poison(monkeypatch, 7, "weight")
    run, ending = train(folder, save_every=4)
    assert ending.how == "finished" and run.course.rollbacks == 1


@pytest.mark.parametrize("stop_at", [5, 6, 9, 13])
def test_stopped_before_or_after_going_back_is_as_without(tmp_path, monkeypatch, stop_at):
    straight, parts = (write_project(tmp_path / name) for name in "ab")
    poison(monkeypatch, 7)
    train(straight, save_every=4)
    poison(monkeypatch, 7)
    train(parts, save_every=4, stop_at=stop_at)
    train(parts, save_every=4, resume=True)
    assert_same(straight, parts)
    assert not list(parts.glob("backup/runs/tiny-1/settled.npz"))


def test_going_back_before_the_average_began(short, tmp_path, monkeypatch):
    folder = write_project(tmp_path / "a", "ema_alpha=.9")
    poison(monkeypatch, 11)
    run, ending = train(folder, save_every=8)
    assert ending.how == "finished" and run.trainer.average is not None


def test_the_fourth_time_ends_the_run(tmp_path, monkeypatch, caplog):
    folder = write_project(tmp_path / "a")
    poison(monkeypatch, 7, times=9)
    with pytest.raises(TrainingError, match=r"^iteration 7: .*4th time.*learning_rate"):
        train(folder, save_every=4)
    assert sum("half the rate" in one.message for one in caplog.records) == 3
    assert state(folder)[1]["trainer"]["iteration"] == 4


def test_a_learning_rate_that_is_much_too_high(tmp_path):
    folder = write_project(tmp_path / "a", "power=1")
    with pytest.raises(TrainingError, match="much lower learning_rate"):
        train(folder, settings=("net.learning_rate=1e30", "net.burn_in=0"))
    for data in weights(folder).values():
        assert np.isfinite(np.frombuffer(data, "<f4", offset=20)).all()


def test_what_was_learned_is_saved_when_no_batch_can_be_made(tmp_path, monkeypatch):
    folder = write_project(tmp_path / "a")
    following = Loader.__next__

    def fails(self):
        batch = following(self)
        if batch.iteration == 6:
            raise DataError("the network drive is gone")
        return batch

    monkeypatch.setattr(Loader, "__next__", fails)
    with pytest.raises(DataError, match="drive is gone"):
        train(folder)
    assert state(folder)[1]["trainer"]["iteration"] == 6


def test_too_little_memory_in_a_step_says_how_it_would_fit(tmp_path, monkeypatch):
    folder = write_project(tmp_path / "a")

    def fails(*_, **__):
        raise MemoryError

    run = prepared(folder)
    monkeypatch.setattr(run.trainer.ops, "conv2d", fails)
    monkeypatch.setattr(loop, "physical_memory", lambda: 1 << 40)
    with closing(run.record), pytest.raises(TrainingError, match="subdivisions=4 takes about"):
        run.go()


# Habits.


def test_hours(tmp_path):
    folder = write_project(tmp_path / "a")
    _, ending = train(folder, max_hours=1e-9)
    assert ending.how == "hours" and ending.iteration == 1
    assert state(folder)[1]["trainer"]["iteration"] == 1


def test_patience_counts_evaluations_without_a_better_map(short, tmp_path, monkeypatch):
    folder = write_project(tmp_path / "a")
    maps = iter([0.1, 0.3, 0.3, 0.2, 0.9])
    measure = loop.evaluate_network

    def measured(*args, highest, **more):
        evaluation, report, worst = measure(*args, highest=highest, **more)
        value = next(maps)
        changed = type(evaluation)(**{**vars(evaluation), "map50": value, "best": value >= highest})
        return changed, report, worst

    monkeypatch.setattr(loop, "evaluate_network", measured)
    run, ending = train(folder, evaluate=True, map_epochs=1, patience=2)
    assert ending.how == "patience" and ending.iteration == 16
    assert ending.best == 0.3 and run.course.best_at == 12  # of equal ones the last, as darknet
    assert "tiny_final.weights" in weights(folder)


def test_without_a_picture_to_validate_with_nothing_is_best(short, tmp_path, caplog):
    folder = write_project(tmp_path / "a")
    run = prepared(folder, evaluate=True, map_epochs=1)
    for path in list(folder.glob("images/*.png"))[1:]:
        path.rename(path.with_suffix(".gone"))
    run.valid = run.valid._replace(paths=["gone.png"] * len(run.valid.paths))
    with closing(run.record):
        ending = run.go()
    assert ending.how == "finished" and ending.best_weights is None and ending.best == -1
    assert "iteration 4: none of the 6 validation pictures can be read" in caplog.text
    assert "tiny_best.weights" not in weights(folder)
    bad = (run.record.folder / "bad.list").read_text("utf-8").splitlines()
    assert len(bad) == 5 and all(name.endswith(".png") for name in bad)


def test_a_run_that_goes_on_from_weights_evaluates_as_often_as_any(short, tmp_path):
    folder = write_project(tmp_path / "a")
    train(folder, stop_at=5)
    last = str(folder / "backup" / "tiny_last.weights")
    run = prepared(folder, weights=last, evaluate=True, map_epochs=1)
    with closing(run.record):
        assert run.trainer.iteration == 5 and run.next_evaluation == 9


def test_figures_that_are_gone_are_no_end(tmp_path, caplog):
    folder = write_project(tmp_path / "a")
    train(folder, stop_at=19)
    (folder / "backup" / "runs" / "tiny-1" / "metrics.csv").unlink()
    _, ending = train(folder, resume=True)
    assert ending.iteration == 20 and "is gone" in caplog.text
