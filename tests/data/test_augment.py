from dataclasses import replace

import numpy as np
import pytest

from darkpy import Network
from darkpy.data import augment
from darkpy.data.augment import Augmentation, sample
from darkpy.data.training import TrainingSet
from darkpy.errors import DataError, NetworkError
from tests.data.coloured import COLOURS, coloured_set, require_agreement, write_png
from tests.tiny import CFG

NET = (64, 96)
ALL = Augmentation(flip=True, jitter=0.3, resize=1.5)


@pytest.fixture
def coloured(tmp_path):
    return coloured_set(tmp_path)


def samples(dataset, augmentation, count=12, seed=1, net=NET):
    return [sample(dataset, augmentation, seed, position, net) for position in range(count)]


def network(tmp_path, net="", head="", cfg=CFG):
    text = cfg.replace("[convolutional]", f"{net}\n[convolutional]", 1) + head
    (tmp_path / "some.cfg").write_text(text)
    return Network.from_cfg(tmp_path / "some.cfg")


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(),
        Augmentation(flip=True),
        Augmentation(jitter=0.4),
        Augmentation(resize=2.0),
        Augmentation(resize=0.5),
        Augmentation(letter_box=True),
        replace(ALL, letter_box=True),
        replace(ALL, mix="mosaic", mosaic_bound=True),
        replace(ALL, mix="mosaic", mosaic_bound=True, letter_box=True),
        Augmentation(mix="mosaic", mosaic_bound=True),
    ],
    ids=str,
)
def test_boxes_are_where_the_objects_are(coloured, augmentation):
    made = samples(coloured, augmentation, 40)
    for one in made:
        require_agreement(one)
    assert sum(len(one.truths) for one in made) > 30


def test_what_comes_out(coloured):
    for mix in ("", "mixup", "mosaic"):
        for one in samples(coloured, replace(ALL, mix=mix, hue=0.1, exposure=2, blur=5)):
            assert one.planes.shape == (3, *NET) and one.planes.dtype == np.float32
            assert one.planes.min() >= 0 and one.planes.max() <= 1
            assert one.truths.dtype == np.float32 and one.truths.shape[1] == 5
            assert one.path in coloured.paths
            box = one.truths[:, 1:]
            assert (box > 0).all() and (box <= 1).all()
            assert (box[:, 2:] >= 1 / np.array([NET[1], NET[0]], np.float32)).all()
            slack = 1 / 64 if mix == "mosaic" else 1e-6  # darknet drops the parts of a pixel
            assert (box[:, :2] - box[:, 2:] / 2 > -slack).all()
            assert (box[:, :2] + box[:, 2:] / 2 < 1 + slack).all()


def test_planes_are_red_first(coloured):
    for one in samples(coloured, Augmentation(), 6):
        kind, x, y, _, _ = one.truths[0]
        pixel = one.planes[:, int(y * NET[0]), int(x * NET[1])]
        assert (pixel[::-1] * 255).tolist() == COLOURS[int(kind)].tolist()


def test_half_of_the_pictures_are_mixed(coloured):
    for mix in ("mixup", "mosaic"):
        plain = samples(coloured, Augmentation(), 200)
        mixed = samples(coloured, Augmentation(mix=mix), 200)
        same = [(one.planes == other.planes).all() for one, other in zip(plain, mixed, strict=True)]
        assert 70 < sum(same) < 130
        assert [one.path for one in plain] == [one.path for one in mixed]


def test_mixup_is_the_mean_of_two_with_the_objects_of_both(coloured):
    mixed = [one for one in samples(coloured, Augmentation(mix="mixup"), 40) if len(one.truths) > 1]
    assert 12 < len(mixed) < 28
    for one in mixed:
        assert len(one.truths) == 2
        for kind, x, y, _, _ in one.truths:
            pixel = one.planes[::-1, int(y * NET[0]), int(x * NET[1])]
            assert (pixel >= 0.5 * (COLOURS[int(kind)] > 0)).all()
    assert any(0.5 in one.planes for one in mixed)


def test_without_mosaic_bound_truths_may_be_covered(coloured):
    bound = samples(coloured, replace(ALL, mix="mosaic", mosaic_bound=True), 40)
    free = samples(coloured, replace(ALL, mix="mosaic"), 40)
    assert all((a.planes == b.planes).all() for a, b in zip(bound, free, strict=True))
    assert sum(len(one.truths) for one in free) > sum(len(one.truths) for one in bound)


def test_half_of_the_parts_of_a_mosaic_lie_in_a_corner(coloured, monkeypatch):
    plain = samples(coloured, replace(ALL, mix="mosaic"), 40)
    moved = []
    monkeypatch.setattr(augment, "to_corner", lambda crop, part: moved.append(part) or crop)
    others = samples(coloured, replace(ALL, mix="mosaic"), 40)
    assert {moved.count(part) for part in range(4)} <= set(range(4, 18))  # of some twenty each
    assert any((a.planes != b.planes).any() for a, b in zip(plain, others, strict=True))


@pytest.mark.parametrize(
    "change",
    [
        {"flip": True},
        {"jitter": 0.3},
        {"resize": 1.5},
        {"letter_box": True},
        {"hue": 0.2},
        {"saturation": 3.0},
        {"exposure": 2.0},
        {"blur": 5},
        {"gaussian_noise": 30},
        {"mix": "mixup"},
        {"mix": "mosaic"},
    ],
    ids=str,
)
def test_each_number_changes_the_pictures(coloured, change):
    base = Augmentation(saturation=0.9)
    pairs = zip(samples(coloured, base), samples(coloured, replace(base, **change)), strict=True)
    assert any((one.planes != other.planes).any() for one, other in pairs)


@pytest.mark.parametrize("mix", ["", "mixup", "mosaic"])
def test_no_more_truths_than_max(tmp_path, mix):
    paths = [write_png(tmp_path / f"{k}.png", np.zeros((30, 30, 3), np.uint8)) for k in range(3)]
    for k in range(3):
        (tmp_path / f"{k}.txt").write_text("0 .5 .5 .4 .4\n" * 9)
    dataset = TrainingSet(paths, 1)
    few = [len(one.truths) for one in samples(dataset, Augmentation(mix=mix, max=7))]
    many = [len(one.truths) for one in samples(dataset, Augmentation(mix=mix))]
    assert max(few) == 7
    assert max(many) >= 9 and (not mix or max(many) > 9)


def test_the_same_arguments_give_the_same_picture(coloured):
    augmentation = replace(ALL, hue=0.1, blur=4, gaussian_noise=9, mix="mosaic")
    first, again = (samples(coloured, augmentation) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert (one.planes == other.planes).all() and (one.truths == other.truths).all()
    other_seed = samples(coloured, augmentation, seed=2)
    assert not any((a.planes == b.planes).all() for a, b in zip(first, other_seed, strict=True))


def test_bad_pictures_are_replaced_and_remembered(tmp_path, caplog):
    dataset = coloured_set(tmp_path, count=5)
    bad = dataset.paths[1:4]
    for path in bad:
        with open(path, "wb") as file:
            file.write(b"no picture")
    used = {one.path for one in samples(dataset, replace(ALL, mix="mosaic"), 30)}
    assert used == set(dataset.paths) - set(bad)
    assert list(dataset.bad_pictures) == bad
    assert len(caplog.records) == 3  # once a picture, however often it is drawn


def test_bad_pictures_alone_are_an_error(tmp_path):
    dataset = coloured_set(tmp_path, count=2)
    for path in dataset.paths:
        with open(path, "wb") as file:
            file.write(b"")
    with pytest.raises(DataError, match=r"00\d\.png: is empty; so are 100 drawn"):
        sample(dataset, ALL, 0, 0, NET)


@pytest.mark.parametrize("mix", ["", "mixup", "mosaic"])
def test_strange_pictures(tmp_path, mix):
    rng = np.random.default_rng(0)
    shapes = [(1, 1, 3), (1, 300), (300, 1, 3), (40, 50, 4)]
    images = [rng.integers(0, 256, shape).astype(np.uint8) for shape in shapes]
    images.append(rng.integers(0, 65536, (40, 50, 3)).astype(np.uint16))
    paths = [write_png(tmp_path / f"{k}.png", image) for k, image in enumerate(images)]
    for k in range(len(images)):
        (tmp_path / f"{k}.txt").write_text("0 .5 .5 1 1\n")
    dataset = TrainingSet(paths, 1)
    for channels in (1, 3):
        augmentation = Augmentation(
            channels=channels, flip=True, jitter=2.0, resize=3.0, letter_box=True, mix=mix,
            hue=0.1, saturation=2.0, exposure=2.0, blur=7, gaussian_noise=20,
        )  # fmt: skip
        for one in samples(dataset, augmentation, 25):
            assert one.planes.shape == (channels, *NET)
            assert np.isfinite(one.planes).all() and np.isfinite(one.truths).all()
    assert not dataset.bad_pictures


@pytest.mark.parametrize(
    ("net", "head", "field", "value"),
    [
        ("", "", "flip", True),
        ("flip=0", "", "flip", False),
        ("", "jitter=.37", "jitter", 0.37),
        ("", "", "jitter", 0.2),
        ("", "resize=1.5", "resize", 1.5),
        ("", "max=90", "max", 90),
        ("letter_box=1", "", "letter_box", True),
        ("hue=.1", "", "hue", 0.1),
        ("saturation=1.5", "", "saturation", 1.5),
        ("exposure=1.4", "", "exposure", 1.4),
        ("blur=1", "", "blur", 1),
        ("gaussian_noise=10", "", "gaussian_noise", 10),
        ("mixup=1", "", "mix", "mixup"),
        ("mosaic=1", "", "mix", "mosaic"),
        ("mosaic=1\nmixup=1", "", "mix", "mosaic"),
        ("mosaic=1\ncutmix=1", "", "mix", "mosaic"),
        ("mixup=1\ncutmix=1", "", "mix", ""),
        ("mosaic_bound=1", "", "mosaic_bound", True),
        ("", "", "channels", 3),
    ],
)
def test_augmentation_of_a_cfg(tmp_path, net, head, field, value):
    assert getattr(Augmentation.of(network(tmp_path, net, head)), field) == value


def test_the_last_head_counts(tmp_path):
    second = CFG[CFG.rindex("[convolutional]") :].replace("filters=21", "filters=21\npad=0")
    cfg = CFG + "jitter=.1\n[route]\nlayers=-3\n" + second + "jitter=.4\n"
    assert Augmentation.of(network(tmp_path, cfg=cfg)).jitter == 0.4


@pytest.mark.parametrize("key", ["angle=7", "aspect=.8", "cutmix=1"])
def test_keys_of_classifiers_are_named(tmp_path, caplog, key):
    Augmentation.of(network(tmp_path, key))
    (record,) = caplog.records
    assert f"{key.partition('=')[0]} acts on classifiers only" in record.getMessage()


def test_nothing_is_said_of_a_usual_cfg(tmp_path, caplog):
    Augmentation.of(network(tmp_path, "angle=0\naspect=1\nsaturation=1.5"))
    assert not caplog.records


@pytest.mark.parametrize(
    ("net", "head", "complaint"),
    [
        ("track=1", "", "track=1"),
        ("contrastive=1", "", "contrastive=1"),
        ("", "resize=0", "resize=0.0: expected more than 0"),
        ("channels=4", "", "channels=4"),
    ],
)
def test_what_cannot_be_trained_on(tmp_path, net, head, complaint):
    cfg = CFG.replace("channels=3\n", "" if "channels" in net else "channels=3\n")
    with pytest.raises(NetworkError, match=complaint):
        Augmentation.of(network(tmp_path, net, head, cfg))


def test_a_network_without_a_head(tmp_path):
    with pytest.raises(NetworkError, match="expected a detection head"):
        Augmentation.of(network(tmp_path, cfg=CFG[: CFG.index("[yolo]")]))
