"""Tuning: what is measured is remembered where the whole is faster, and nothing else is taken."""

import json

import numpy as np
import pytest

from darkpy import Detector
from darkpy.errors import DeviceError
from darkpy.network import Network
from darkpy.plan import compile, convolve, tune, ways
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def model():
    network = Network.from_cfg(ROOT / "cfg" / "shapes.cfg").resized(64, 64)
    return network, network.initial_params(np.random.default_rng(0))


def geometries(model):
    found = ways.layers(ways.separate(*model, 1, 2))
    return [one.geometry for one in found if len(ways.worth(one.geometry, 2)) > 1]


def other(g, threads=2, strict=False):
    """Return a choice that is not the estimate."""
    estimate = convolve.estimate(g, threads, strict)
    return next(one for one in convolve.candidates(g, threads, strict) if one != estimate)


def taken(model, **settings):
    plan = compile(*model, threads=2, **settings)
    return {convolve.geometry(s.op): s.op.choice for s in plan.steps if s.op.kind == "convolve"}


def test_what_is_remembered_is_taken_by_every_later_plan(model, choices):
    g = geometries(model)[0]
    assert taken(model)[g] == convolve.estimate(g, 2)
    convolve.remember(g, 2, False, other(g))
    assert taken(model)[g] == other(g)
    choices._choices.clear()  # as another process finds it
    assert taken(model)[g] == other(g)
    assert convolve.choose(g, 3) == convolve.estimate(g, 3)
    assert taken(model, strict=True)[g] == convolve.estimate(g, 2, strict=True)
    convolve.forget(g, 2, False)
    assert taken(model)[g] == convolve.estimate(g, 2)


def test_other_choices_give_the_same_numbers_and_each_the_same_bytes(model, choices):
    x = np.random.default_rng(1).random((1, *model[0].image), np.float32)
    before = compile(*model, threads=2)(x)
    for g in geometries(model):
        convolve.remember(g, 2, False, other(g))
    first, second = (compile(*model, threads=2)(x) for _ in range(2))
    for index, y in first.items():
        np.testing.assert_array_equal(y, second[index])
        # 2e-5: other orders of sums, and Winograd's way in float32, as in test_plan.py
        assert np.abs(y - before[index]).max() < 2e-5 * np.abs(y).max()


@pytest.mark.parametrize(
    "kept",
    [
        {"name": "winograd", "options": {"m": 99, "tiles": 1, "shares": 1}},
        {"name": "first", "options": {}},
        {"name": "winograd"},
        {"options": [1]},
        ["winograd"],
        7,
    ],
)
def test_what_is_no_choice_for_a_convolution_is_not_taken(model, choices, kept):
    g = geometries(model)[0]
    choices.remember(convolve.key(g, 2, False), kept)
    assert convolve.choose(g, 2) == convolve.estimate(g, 2)


def test_the_fastest_is_remembered_if_the_whole_is_faster(model, choices, monkeypatch):
    shown = []
    monkeypatch.setattr(tune, "times", lambda bound, rounds: [9.0, *[5.0] * (len(bound) - 1)])
    monkeypatch.setattr(tune, "compared", lambda *given: (2.0, 1.5))
    found = tune.tune(*model, threads=2, progress=lambda *counts: shown.append(counts))
    assert found.kept and len(found.layers) == len(geometries(model))
    assert shown == [(i, len(found.layers)) for i in range(len(found.layers) + 1)]
    for g, one in zip(geometries(model), found.layers, strict=True):
        assert convolve.choose(g, 2) == one.after != one.before == convolve.estimate(g, 2)
        assert (one.old, one.new) == (9.0, 5.0)
    (file,) = choices.folder().glob(choices.CHOICES)
    assert len(json.loads(file.read_text())) == len(found.layers)
    assert tune.forget(*model, threads=2) == len(found.layers)
    assert tune.forget(*model, threads=2) == 0


@pytest.mark.parametrize(("fast", "new"), [(9.0 * 0.98, 1.5), (5.0, 2.5)])
def test_what_gains_nothing_changes_nothing(model, choices, monkeypatch, fast, new):
    """Less than 3 per cent is within what times vary; and the whole may take longer."""
    g = geometries(model)[0]
    convolve.remember(g, 2, False, other(g))
    monkeypatch.setattr(tune, "times", lambda bound, rounds: [9.0, *[fast] * (len(bound) - 1)])
    monkeypatch.setattr(tune, "compared", lambda *given: (2.0, new))
    assert not tune.tune(*model, threads=2).kept
    assert convolve.choose(g, 2) == convolve.estimate(g, 2)


def test_a_tuning_from_end_to_end(model, choices):
    found = tune.tune(*model, threads=2, rounds=1)
    assert found.old > 0 and found.new > 0
    for g, one in zip(geometries(model), found.layers, strict=True):
        assert convolve.choose(g, 2) == (one.after if found.kept else one.before)


def test_where_choices_cannot_be_kept_they_hold_for_this_process(
    model, choices, monkeypatch, tmp_path
):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(choices, "folder", lambda: tmp_path / "file" / "below")
    monkeypatch.setattr(choices, "_warned", set())
    g = geometries(model)[0]
    convolve.remember(g, 2, False, other(g))
    assert convolve.choose(g, 2) == other(g)


def test_strict_plans_keep_to_direct_sums_and_the_smallest_tiles(model, choices):
    sizes = {dict(one.options).get("m", 0) for one in taken(model, strict=True).values()}
    assert sizes <= {0, 2}
    for g in geometries(model):
        ways_of = [dict(one.options).get("m", 0) for one in convolve.candidates(g, 2)]
        assert max(ways_of) > 2


def test_strict_arithmetic_is_not_that_of_16_bits(model):
    with pytest.raises(DeviceError, match="'bf16': strict arithmetic takes precision 'fp32'"):
        compile(*model, strict=True, precision="bf16")


def test_a_detector_tunes_itself(model, choices, monkeypatch):
    network = Network.from_cfg(ROOT / "cfg" / "shapes.cfg")
    detector = Detector(network, network.initial_params(np.random.default_rng(0)), threads=2)
    picture = np.zeros((40, 60, 3), np.uint8)
    detector.detect(picture)
    monkeypatch.setattr(tune, "times", lambda bound, rounds: [9.0, *[5.0] * (len(bound) - 1)])
    monkeypatch.setattr(tune, "compared", lambda *given: (2.0, 1.5))
    assert detector.tune().kept
    taken = {str(step.op.choice) for step in detector.plan.steps}
    assert taken & {str(one.after) for one in detector.tune().layers}
    detector.detect(picture)


def test_a_detector_tunes_itself_aside_while_it_detects(model, choices, monkeypatch):
    network = Network.from_cfg(ROOT / "cfg" / "shapes.cfg")
    detector = Detector(network, network.initial_params(np.random.default_rng(0)), threads=2)
    x = np.random.default_rng(1).random(network.image, np.float32)
    before, plan = detector.forward(x), detector.plan
    monkeypatch.setattr(tune, "times", lambda bound, rounds: [9.0, *[5.0] * (len(bound) - 1)])
    monkeypatch.setattr(tune, "compared", lambda *given: (2.0, 1.5))
    aside = detector.tune_aside()
    during = detector.forward(x)
    aside.join()
    after = detector.forward(x)
    assert detector.plan is not plan
    for index, y in before.items():
        for one in (during[index], after[index]):
            assert np.abs(one - y).max() < 2e-5 * np.abs(y).max()  # as above


@pytest.mark.parametrize("settings", [{"device": "reference"}, {"side": 32}])
def test_what_runs_by_no_plan_is_not_tuned(settings):
    network = Network.from_cfg(ROOT / "cfg" / "shapes.cfg").resized(
        *[settings.pop("side", 128)] * 2
    )
    detector = Detector(network, network.initial_params(np.random.default_rng(0)), **settings)
    for tuning in (detector.tune, detector.tune_aside):
        with pytest.raises(DeviceError, match="nothing to tune: expected device 'cpu'"):
            tuning()
