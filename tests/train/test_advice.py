"""What is said before a training: what is refused, what is doubted, and what passes in silence."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from darkpy import CfgError, DataError, Network, NetworkError, TrainingError
from darkpy.cfg import Data
from darkpy.net import NetOptions
from darkpy.train.advice import IGNORED, anchors_of, check, never_decays
from darkpy.train.evaluation import Labelled
from tests.conftest import ROOT
from tests.tiny import CFG

SIZES = [(9 / 64, 9 / 64), (20 / 64, 18 / 64), (30 / 64, 40 / 64)]  # as the anchors of CFG
GOOD = {
    "batch": 8,
    "subdivisions": 2,
    "max_batches": 1000,
    "burn_in": 100,
    "policy": "steps",
    "steps": "800,900",
    "scales": ".1,.1",
}


@pytest.fixture
def ask(tmp_path, caplog):
    """Return what checks a training that is good but for what is given, and gives the warnings.

    keys of [net]; ``cfg``, the layers; ``classes`` of the .data file; names, pictures, sizes,
    valid and iteration as `check` takes them
    """

    def run(
        *,
        cfg=CFG,
        names=("cat", "dog"),
        pictures=20,
        sizes=SIZES,
        valid=(),
        iteration=0,
        classes=None,
        **keys,
    ):
        lines = "".join(f"{key}={value}\n" for key, value in (GOOD | keys).items())
        (tmp_path / "a.cfg").write_text(cfg.replace("[net]\n", f"[net]\n{lines}"))
        network = Network.from_cfg(tmp_path / "a.cfg")
        data = Data(path="a.data", names="a.names", classes=classes)
        paths = [f"{n}.jpg" for n in range(pictures)]
        training = SimpleNamespace(paths=paths, sizes=np.array(sizes, np.float32))
        labelled = Labelled(valid, [np.zeros((0, 5), np.float32)] * len(valid))
        caplog.clear()
        check(network, data, names, training, labelled if valid else None, iteration)
        return [record.getMessage() for record in caplog.records]

    return run


def test_nothing_is_said_of_a_good_training(ask):
    assert ask() == []


@pytest.mark.parametrize(
    ("error", "words", "change"),
    [
        (DataError, ["a.names: 3 names", "classes=2"], {"names": ("a", "b", "c")}),
        (TrainingError, ["max_batches=0"], {"max_batches": 0}),
        (TrainingError, ["max_batches=1000", "1000 iterations", "-clear"], {"iteration": 1000}),
        (TrainingError, ["batch=1", "batch=64"], {"batch": 1, "subdivisions": 1}),
    ],
)
def test_what_is_refused(ask, error, words, change):
    with pytest.raises(error) as caught:
        ask(**change)
    assert all(word in str(caught.value) for word in words), caught.value


def test_steps_without_steps_are_refused(ask, monkeypatch):
    monkeypatch.delitem(GOOD, "scales")
    with pytest.raises(CfgError, match=r"a.cfg: \[net\] policy=steps: expected steps= and scales="):
        ask()


def test_heads_of_other_classes_are_refused(ask):
    two = (
        CFG + "[convolutional]\nfilters=24\nsize=1\n[yolo]\nclasses=3\nnum=3\nanchors=8,9,8,9,8,9\n"
    )
    with pytest.raises(
        NetworkError, match=r"layer 6 \[yolo\]: classes=3, but layer 4 has classes=2"
    ):
        ask(cfg=two)


def test_a_network_without_heads_is_refused(ask):
    with pytest.raises(NetworkError, match="no detection head"):
        ask(cfg=CFG.partition("[yolo]")[0])


def test_weights_of_fewer_iterations_are_fine(ask):
    assert ask(iteration=999) == []


@pytest.mark.parametrize(
    ("words", "change"),
    [
        (["a.data: classes = 5", "classes=2"], {"classes": 5}),
        (["batch=9, subdivisions=2", "takes 8"], {"batch": 9}),
        (["batch=8, subdivisions=16", "takes 16, one at a time"], {"subdivisions": 16}),
        (["batch=6", "noisy"], {"batch": 6}),
        (["7 training pictures", "more than once"], {"pictures": 7}),
        (["8001 training pictures"], {"pictures": 8001}),
        (["steps=800,2000", "before 2000"], {"steps": "800,2000"}),
        (["steps has 3 numbers, scales 2"], {"steps": "700,800,900"}),
        (["policy=constant", "never falls"], {"policy": "constant"}),
        (["burn_in=101", "10 %"], {"burn_in": 101}),
        (["burn_in=1000", "never reached"], {"burn_in": 1000}),
        (["ema_alpha=0.99", "not at all", "max_batches=1000"], {"ema_alpha": 0.99}),
        (["width=48"], {"cfg": CFG.replace("width=64", "width=48")}),
        (["flip=1", "'turn_left'"], {"names": ("dog", "turn_left")}),
        (["flip=1", "'L'"], {"names": ("dog", "L")}),
        (["flip=1", "'왼손'"], {"names": ("왼손", "dog")}),
        (["adversarial_lr=0.05", "not there"], {"adversarial_lr": 0.05}),
        (["unsupervised=1"], {"unsupervised": 1}),
    ],
)
def test_what_is_doubted(ask, words, change):
    (sentence,) = ask(**change)
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize(
    "change",
    [
        {"classes": 2},
        {"batch": 9, "subdivisions": 3},
        {"pictures": 8},
        {"pictures": 8000},
        {"steps": "800,999"},
        {"policy": "poly", "steps": "800,2000"},
        {"burn_in": 100},
        {"names": ("rightful", "lark")},
        {"names": ("left", "right"), "flip": 0},
        {"unsupervised": 0},
        {"ema_alpha": 0.99, "max_batches": 2002, "steps": "1600,1800"},
    ],
)
def test_what_is_not_doubted(ask, change):
    assert ask(**change) == []


def test_anchors_that_fit_badly(ask):
    sentence, *_ = ask(sizes=[(0.9, 0.05)] * 10)
    assert "mean IoU 0.1" in sentence
    assert "darkpy detector calc_anchors a.data -num_of_clusters 3 -width 64 -height 64" in sentence


def test_objects_that_no_mask_takes(ask):
    cfg = CFG.replace("mask=0,1,2", "mask=1,2").replace("filters=21", "filters=14")
    sizes = [*SIZES[1:] * 4, *SIZES[:1] * 2]  # a fifth of the objects
    (sentence,) = ask(cfg=cfg, sizes=sizes)
    assert "20 % of the objects would teach no box" in sentence
    assert ask(cfg=cfg, sizes=[*sizes, *SIZES[1:] * 10]) == []
    taken = cfg.replace("num=3", "num=3\niou_thresh=.1")
    assert ask(cfg=taken, sizes=sizes) == []


def test_pictures_of_both_lists(ask, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    valid = ["3.jpg", str(tmp_path / "4.jpg"), "./5.jpg", "new.jpg"]
    (sentence,) = ask(valid=valid)
    assert "a.data: 3 of 4 validation pictures" in sentence and "as 3.jpg" in sentence
    assert ask(valid=["new.jpg"]) == []


def test_a_key_of_many_layers_is_named_once(ask):
    cfg = CFG.replace("activation=leaky", "activation=leaky\nassisted_excitation=1")
    (sentence,) = ask(cfg=cfg)
    assert "layer 0 [convolutional] assisted_excitation=1.0 has no effect here" in sentence


def test_what_is_ignored_are_keys(tmp_path):
    known = {name: set(cls.__dataclass_fields__) for name, cls in _records().items()}
    for section, keys in IGNORED.items():
        assert set(keys) <= known[section]


def _records():
    from darkpy.layers import LAYERS

    return {**LAYERS, "net": NetOptions}


def test_anchors_are_in_pixels():
    yolo = Network.from_cfg(ROOT / "cfg" / "yolov3-tiny.cfg")
    assert anchors_of(yolo)[0] == (81, 82) and len(anchors_of(yolo)) == 6
    region = Network.from_cfg(ROOT / "cfg" / "yolov2-tiny-voc.cfg", size=(416, 832))
    assert region.heads[0].layer.priors[0] == (1.08, 1.19)
    assert anchors_of(region)[0] == pytest.approx((1.08 * 32, 1.19 * 32))


@pytest.mark.parametrize(
    ("never", "keys"),
    [
        (True, {}),
        (True, {"policy": "steps"}),
        (True, {"policy": "steps", "steps": (4000, 4500), "scales": (0.1, 0.1)}),
        (False, {"policy": "steps", "steps": (900,), "scales": (0.1,)}),
        (True, {"policy": "steps", "steps": (900,), "scales": (1.0,)}),
        (True, {"policy": "step", "step": 2000, "scale": 0.1}),
        (False, {"policy": "step", "step": 300, "scale": 0.1}),
        (False, {"policy": "poly"}),
        (False, {"policy": "sgdr"}),
        (False, {"policy": "exp", "gamma": 0.999}),
        (True, {"policy": "exp"}),
        (False, {"policy": "random"}),
    ],
)
def test_whether_a_schedule_decays(never, keys):
    for burn_in in (0, 100):
        assert never_decays(NetOptions(max_batches=1000, burn_in=burn_in, **keys)) is never
    assert not never_decays(NetOptions(max_batches=1000, burn_in=1000, **keys))


@pytest.mark.parametrize("path", sorted((ROOT / "cfg").glob("*.cfg")), ids=lambda path: path.stem)
def test_the_zoo_trains_without_a_word_about_its_layers(path, caplog):
    network = Network.from_cfg(path)
    o = network.options
    network = replace(network, options=replace(o, batch=64, subdivisions=1))
    classes = network.heads[-1].layer.classes
    training = SimpleNamespace(
        paths=[f"{n}.jpg" for n in range(64)],
        sizes=np.array(anchors_of(network)) / (o.width, o.height),
    )
    caplog.clear()
    names = [f"thing {n}" for n in range(classes)]
    check(network, Data(path="a.data", names="a.names"), names, training)
    assert caplog.messages == []
