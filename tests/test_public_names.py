"""The public face of darkpy: these names, no fewer and no more."""

import inspect

import darkpy
from darkpy import errors

NAMES = {
    "Detections",
    "Detector",
    "Network",
    "Trainer",
    "__version__",
    "load",
    "read_cfg",
    "read_weights",
    "write_weights",
}
ERRORS = {
    name
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, errors.DarkpyError)
}


def test_names_are_these():
    assert set(darkpy.__all__) == NAMES | ERRORS


def test_names_are_visible_and_sorted():
    assert sorted(darkpy.__all__) == dir(darkpy)
    assert darkpy.__all__ == sorted(darkpy.__all__)


def test_each_name_is_there_and_documented():
    for name in darkpy.__all__:
        value = getattr(darkpy, name)
        assert name == "__version__" or inspect.getdoc(value), name


def test_star_import_gives_them_all():
    scope: dict[str, object] = {}
    exec("from darkpy import *", scope)
    assert set(darkpy.__all__) <= set(scope)


def test_error_tree_is_drawn_at_the_top_of_its_file():
    assert all(name in (errors.__doc__ or "") for name in ERRORS)
