import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkpy.errors import DarkpyError, TrainingError
from darkpy.train.state import load_state, save_state
from darkpy.train.trainer import Trainer
from darkpy.weights import Version
from tests.train.project import CFG

RUN = {"avg_loss": 0.1 + 0.2, "best_at": 3, "offsets": {"iteration": 3}}


def trainer(folder, net="ema_alpha=.5", seed=0):
    path = folder / "tiny.cfg"
    path.write_text(CFG.format(net=net, head=""))
    return Trainer(path, seed=seed)


@pytest.fixture
def saved(tmp_path, rng):
    """Return a state of a trainer that has come some way, and the trainer."""
    one = trainer(tmp_path, seed=7)
    images = rng.random((4, 3, 32, 32), np.float32)
    truths = [np.array([[1, 0.5, 0.5, 0.4, 0.4]])] * 4
    for _ in range(2):
        one.step(images, truths)
    one.start_average()
    one.step(images, truths)
    one.rate_scale, one.params.version = 0.25, Version(0, 1, 0)
    save_state(tmp_path / "state.npz", one, RUN)
    return tmp_path / "state.npz", one


def parts(trainer):
    own = [w for params in trainer.params for w in params.values()]
    moments = [m for node in trainer.optimizer.moments for pair in node.values() for m in pair]
    means = [w for node in trainer.average or () for w in node.values()]
    return [w.tobytes() for w in (*own, *moments, *means)]


def test_a_state_is_all_of_a_trainer(saved, tmp_path):
    path, one = saved
    other = trainer(tmp_path)
    assert load_state(path, other) == RUN
    assert parts(other) == parts(one)
    for name in ("iteration", "seed", "rate_scale", "next_rate"):
        assert getattr(one, name) == getattr(other, name), name
    assert other.params.version == Version(0, 1, 0)


def test_the_arrays_stay_where_the_optimizer_knows_them(saved, tmp_path):
    path, _ = saved
    other = trainer(tmp_path)
    weights = other.params[0]["weights"]
    load_state(path, other)
    assert other.params[0]["weights"] is weights


def test_a_state_without_an_average_takes_it_away(tmp_path):
    one = trainer(tmp_path)
    save_state(tmp_path / "state.npz", one, {})
    one.start_average()
    load_state(tmp_path / "state.npz", one)
    assert one.average is None


@pytest.mark.parametrize(
    ("net", "change", "words"),
    [
        ("adam=1", "", "of another network or optimizer than .*moment1 is in one alone"),
        ("", "filters=6|filters=5", r"0/\w+ has shape \(6,.*\); .* needs \(5,.*\)"),
        ("", "batch_normalize=1|batch_normalize=0", "is in one alone"),
    ],
)
def test_a_state_of_another_network(saved, tmp_path, net, change, words):
    path, _ = saved
    other = tmp_path / "other.cfg"
    old, _, new = change.partition("|")
    other.write_text(CFG.format(net=f"ema_alpha=.5\n{net}", head="").replace(old or "\0", new))
    with pytest.raises(TrainingError, match=f"state.npz: .*{words}"):
        load_state(path, Trainer(other))


def written(path, **changes):
    """Write a state's counters anew."""
    with np.load(path) as held:
        arrays = {name: held[name] for name in held.files}
    counters = json.loads(arrays["counters"].tobytes())
    counters["trainer"] |= changes
    arrays["counters"] = np.frombuffer(json.dumps(counters).encode(), np.uint8)
    np.savez(path, **arrays)


def test_a_state_of_another_version(saved, tmp_path):
    path, one = saved
    written(path, format=99)
    with pytest.raises(TrainingError, match=r"of format 99; this version has 1"):
        load_state(path, one)


def test_a_state_that_is_no_file(tmp_path):
    one = trainer(tmp_path)
    for path in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(TrainingError, match="cannot be read"):
            load_state(path, one)


def test_arrays_of_another_file(tmp_path):
    one = trainer(tmp_path)
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    (tmp_path / "x.npz").write_bytes(file.getvalue())
    with pytest.raises(TrainingError, match="cannot be read"):
        load_state(tmp_path / "x.npz", one)


@given(at=st.floats(0, 1), value=st.integers(0, 255), cut=st.booleans())
def test_a_spoiled_state_is_refused_or_read(tmp_path_factory, at, value, cut):
    folder = tmp_path_factory.getbasetemp() / "spoiled"
    if not folder.exists():
        folder.mkdir()
        save_state(folder / "good.npz", trainer(folder), RUN)
    data = bytearray((folder / "good.npz").read_bytes())
    place = int(at * (len(data) - 1))
    data[place] = value
    (folder / "bad.npz").write_bytes(data[:place] if cut else data)
    try:
        load_state(folder / "bad.npz", trainer(folder))
    except DarkpyError as error:
        assert "bad.npz" in str(error)


def test_a_state_that_cannot_be_written_leaves_the_old_one(saved, monkeypatch):
    path, one = saved
    before = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(DarkpyError, match="No space left"):
        save_state(path, one, RUN)
    assert path.read_bytes() == before
    assert {one.name for one in path.parent.iterdir()} == {"state.npz", "tiny.cfg"}
