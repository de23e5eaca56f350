"""What the figures of a training are said to mean, and when nothing is said."""

import numpy as np
import pytest

from darkpy.net import NetOptions
from darkpy.train.history import History, share
from darkpy.train.verdict import RULES, verdict

NAN = float("nan")
OPTIONS = NetOptions(
    max_batches=1000, burn_in=100, policy="steps", steps=(800, 900), scales=(0.1, 0.1)
)


def history(loss=lambda i: 10.0, last=1000, options=OPTIONS, noise=0.05, seed=0, **columns):
    """Return a training whose loss is a function of the iteration, with a head that is taught.

    columns  others, as functions of the iteration; ``evaluations`` maps an iteration to validation
             loss, mAP, and mAP of training pictures
    """
    evaluations = columns.pop("evaluations", {})
    keys = {
        name: columns.pop(name) for name in ("best_weights", "anchors", "sizes") if name in columns
    }
    at = np.arange(1, last + 1)
    rng = np.random.default_rng(seed)
    made = {
        "iteration": at.astype(float),
        "epoch": at / 50,
        "loss": np.array([loss(i) for i in at]) * (1 + noise * rng.standard_normal(last)),
        "rate": np.full(last, 0.01),
        "truths": np.full(last, 20.0),
        "yolo_9_count": np.full(last, 18.0),
        "val_loss": np.full(last, NAN),
        "map50": np.full(last, NAN),
        "train_map50": np.full(last, NAN),
    }
    for name, function in columns.items():
        made[name] = np.array([float(function(i)) for i in at])
    for iteration, figures in evaluations.items():
        for name, one in zip(("val_loss", "map50", "train_map50"), figures, strict=True):
            made[name][iteration - 1] = one
    return History(made, options, **keys)


def said(name, *arguments, **keys):
    """Return what the rule of that name says of a history."""
    (rule,) = (one for one in RULES if one.__name__ == name)
    return rule(history(*arguments, **keys))


def falling(i):
    return 100 * i**-0.5


OVER_FITTED = {
    200: (9, 0.2, 0.3),
    400: (7, 0.30, 0.6),
    600: (8, 0.29, 0.9),
    800: (9, 0.26, 0.97),
    1000: (11, 0.25, 0.98),
}


def test_a_loss_that_is_not_finite():
    sentence = said("not_finite", lambda i: 5 if i < 300 else NAN, last=400)
    assert "since iteration 300" in sentence and "learning rate 0.01" in sentence
    assert "iteration 1," in said("not_finite", lambda i: np.inf)
    assert said("not_finite", lambda i: NAN if i == 300 else 5) is None  # it went on
    assert verdict(history(lambda i: NAN))[0] == said("not_finite", lambda i: NAN)


def test_no_label():
    assert "Not one object" in said("no_label", last=100, truths=lambda i: 0)
    assert said("no_label", last=49, truths=lambda i: 0) is None  # part of the first epoch
    assert said("no_label", last=49, truths=lambda i: 0, epoch=lambda i: i) is not None
    assert said("no_label", truths=lambda i: i == 7) is None


def test_no_anchor():
    unmatched = {"yolo_9_count": lambda i: 0}
    sentence = said("no_anchor", last=5, **unmatched)
    assert "None of 100 objects" in sentence and "pixels" not in sentence
    assert said("no_anchor", last=5, **unmatched, ap_blood_count=lambda i: NAN) == sentence
    sizes = np.array([[10, 12], [9, 11], [200, 200]])
    sentence = said("no_anchor", last=5, **unmatched, sizes=sizes, anchors=[(80, 90), (100, 7.6)])
    assert "10 x 12 pixels" in sentence and "80 x 90, 100 x 8." in sentence
    assert said("no_anchor", last=5, **unmatched, yolo_16_count=lambda i: i == 3) is None
    assert said("no_anchor", last=5, **unmatched, truths=lambda i: 1) is None  # five objects
    assert said("no_anchor") is None


def test_a_rate_too_high():
    sentence = said("rises", lambda i: 10 + i / 50)
    assert "The loss rose since burn-in, from 1" in sentence and "0.01" in sentence
    assert said("rises", lambda i: 10 + i / 50, last=120) is None  # burn-in is just over
    assert said("rises", falling) is None
    assert said("rises", lambda i: 10) is None
    assert said("rises", lambda i: 1000 if i < 50 else 10) is None
    assert said("rises", lambda i: 10 + i / 500) is None  # 16 %
    assert said("rises", lambda i: 10 + i / 50 if i < 700 else 15) is None  # it falls again


def test_noise_is_no_rise():
    for seed in range(20):
        assert said("rises", lambda i: 10, last=160, noise=1.5, seed=seed) is None


def test_no_map():
    zero = {200: (9, 0, 0), 400: (9, 0, 0.01), 600: (9, 0.0004, 0)}
    assert "3 evaluations found nothing" in said("no_map", falling, evaluations=zero)
    assert said("no_map", evaluations=zero) is None  # the loss does not fall
    assert said("no_map", falling, evaluations=dict(list(zero.items())[:2])) is None
    assert said("no_map", falling, evaluations=zero | {800: (9, 0.1, 0)}) is None
    other = zero | {600: (9, 0, 0.6)}
    assert "training pictures (mAP .60)" in said("no_map", evaluations=other)


def test_over_fitting():
    sentence = said("over_fits", evaluations=OVER_FITTED, best_weights="backup/x_best.weights")
    assert sentence == (
        "Over-fitting since iteration 400: mAP is .98 on training pictures and .25 on validation "
        "pictures, whose loss rises since; the best weights are backup/x_best.weights, of "
        "iteration 400 (mAP .30)."
    )
    assert "the best weights are those of iteration 400" in said(
        "over_fits", evaluations=OVER_FITTED
    )


@pytest.mark.parametrize(
    ("why", "change"),
    [
        ("one evaluation later is chance", {800: None, 1000: None}),
        ("mAP still rises", {1000: (11, 0.4, 0.98)}),
        ("the loss of validation does not rise", {1000: (6.9, 0.25, 0.98)}),
        ("the loss of validation is where it was", {600: (7.1, 0.29, 0.9)}),
        ("training pictures are no better", {1000: (11, 0.25, 0.3)}),
        ("training pictures are not measured", {1000: (11, 0.25, NAN)}),
        ("the loss is not known", {600: (NAN, 0.29, 0.9)}),
    ],
)
def test_no_over_fitting(why, change):
    evaluations = {k: v for k, v in (OVER_FITTED | change).items() if v is not None}
    assert said("over_fits", evaluations=evaluations) is None, why


def test_validation_pictures_that_differ():
    apart = {200: (9, 0.2, 0.5), 400: (8, 0.25, 0.9), 600: (8, 0.24, 0.95), 800: (7, 0.25, 0.98)}
    assert "mAP is .98 on training pictures and .25" in said("differs", evaluations=apart)
    assert said("differs", evaluations=OVER_FITTED) is None  # said by another rule
    near = {k: (loss, train - 0.1, train) for k, (loss, _, train) in apart.items()}
    assert said("differs", evaluations=near) is None
    assert said("differs", evaluations=dict(list(apart.items())[:2])) is None
    unmeasured = {k: (loss, map50, NAN) for k, (loss, map50, _) in apart.items()}
    assert said("differs", evaluations=unmeasured) is None


def test_a_rate_that_never_falls():
    constant = NetOptions(max_batches=1000, burn_in=100)
    sentence = said("constant_rate", options=constant, noise=0.1)
    assert "max_batches=1000" in sentence and "steps=800,900" in sentence
    assert said("constant_rate", noise=0.1) is None  # it has steps
    assert said("constant_rate", falling, options=constant) is None
    assert said("constant_rate", options=constant, last=140) is None
    assert said("constant_rate", options=constant, noise=2) is None  # who knows


def test_a_long_burn_in():
    options = NetOptions(max_batches=1000, burn_in=400)
    assert "400 of 1000 iterations" in said("long_burn_in", options=options)
    assert said("long_burn_in", options=options, last=900) is None  # at the end only
    assert said("long_burn_in") is None
    longer = NetOptions(max_batches=1000, burn_in=5000)
    assert "1000 of 1000 iterations" in said("long_burn_in", options=longer)


def test_still_learning():
    assert "; the learning rate falls at 800, 900." in said("still_learns", falling, last=700)
    assert "falls at 900." in said("still_learns", falling, last=850)
    constant = NetOptions(max_batches=1000)
    assert said("still_learns", falling, last=700, options=constant).endswith("the iterations.")
    end = said("still_learns", falling)
    assert "at the end" in end and "max_batches above 1000" in end
    assert said("still_learns", falling, last=145) is None
    assert said("still_learns") is None
    assert said("still_learns", falling, evaluations=OVER_FITTED) is None


def test_noise_is_no_learning():
    heard = [said("still_learns", last=400, noise=0.5, seed=seed) for seed in range(40)]
    assert sum(one is not None for one in heard) <= 4  # a fall of two errors is chance at times


def test_standing_still():
    gained = {i * 100: (5, map50, map50) for i, map50 in enumerate((0.2, 0.4, 0.3, 0.3, 0.3), 1)}
    options = NetOptions(max_batches=5000)
    sentence = said("stands_still", options=options, evaluations=gained)
    assert "may be stopped; the best weights are those of iteration 200 (mAP .40)" in sentence
    assert said("stands_still", options=options, evaluations=gained | {500: (5, 0.5, 0)}) is None
    assert said("stands_still", falling, options=options, evaluations=gained) is None
    assert said("stands_still", evaluations=gained) is None  # it is over
    coming = NetOptions(max_batches=5000, policy="steps", steps=(4000,), scales=(0.1,))
    assert said("stands_still", options=coming, evaluations=gained) is None


def test_the_best_weights_at_the_end():
    evaluations = {500: (5, 0.5, 0.5), 900: (5, 0.5, 0.5), 1000: (5, 0.4, 0.5)}
    keys = {"evaluations": evaluations, "best_weights": "x_best.weights"}
    assert said("best_at_end", **keys) == (
        "The best weights are x_best.weights, of iteration 900 (mAP .50)."
    )
    assert said("best_at_end", last=999) is None
    assert said("best_at_end", **keys | {"evaluations": {}}) is None


def test_a_verdict_is_short_and_has_the_important_first():
    everything = history(
        lambda i: NAN, truths=lambda i: 0, options=NetOptions(max_batches=1000, burn_in=500)
    )
    first, second = verdict(everything)
    assert first.startswith("The loss is nan") and second.startswith("Not one object")
    first, second = verdict(history(falling, evaluations={1000: (5, 0.83, 0.9)}))
    assert first.startswith("Still learning at the end") and "mAP .83" in second


@pytest.mark.parametrize("rows", [0, 1, 2, 9])
def test_little_is_known_and_nothing_said(rows):
    assert verdict(history(falling, last=rows)) == []
    bare = {name: np.zeros(rows) for name in ("iteration", "epoch", "loss", "rate", "truths")}
    assert verdict(History(bare, OPTIONS)) == []


def test_a_loss_of_nothing_is_still():
    assert history(lambda i: 0).is_still and not history(lambda i: 0).falls


def test_share():
    assert [share(one) for one in (0.254, 1, 0, NAN)] == [".25", "1.00", ".00", "nan"]
