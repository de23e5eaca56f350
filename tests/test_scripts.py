"""The scripts, run in a small checkout whose .venv is made by the test, not by pip."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT
from tests.environments import environment, run
from tests.tiny import write_model

not_windows = pytest.mark.skipif(sys.platform == "win32", reason="needs bash and symbolic links")

SUITE = """
import pytest

def test_fast():
    pass

@pytest.mark.slow
def test_slow():
    pass
"""


def load(folder: Path) -> ModuleType:
    """Return the module scripts/environment.py of a checkout."""
    place = folder / "scripts" / "environment.py"
    spec = importlib.util.spec_from_file_location("environment", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def ready(tmp_path_factory) -> Path:
    """Return a checkout that is set up, with a suite of one fast and one slow test.

    It holds the scripts and an empty package, which are soon checked; its environment has the
    darkpy of this checkout, whose kernels are compiled once and not in every run.
    """
    here = tmp_path_factory.mktemp("scripts") / "here"
    for name in ("scripts", ".ci"):
        shutil.copytree(ROOT / name, here / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, here)
    (here / "darkpy").mkdir()
    (here / "darkpy" / "__init__.py").write_text("")
    environment(here / ".venv", ROOT)
    scripts = load(here)
    scripts.STAMP.write_text(scripts.fingerprint(), "utf-8")
    (here / "tests").mkdir()
    (here / "tests" / "test_suite.py").write_text(SUITE)
    return here


def script(folder: Path, name: str, *arguments: object, status: int = 0) -> str:
    return run(sys.executable, folder / "scripts" / name, *arguments, cwd=folder, status=status)


def test_test_leaves_out_the_slow_ones(ready):
    assert "1 passed" in script(ready, "test")


def test_test_runs_all_when_asked_and_passes_arguments_on(ready):
    assert "2 passed" in script(ready, "test", "--all")
    told = script(ready, "test", "-k", "slow", "--all", "--collect-only", "-q")
    assert "test_slow" in told and "test_fast" not in told


def test_test_tells_by_its_status(ready):
    script(ready, "test", "-k", "nothing", status=5)


@not_windows
def test_check_names_what_is_wrong(tmp_path, ready):
    here = shutil.copytree(ready / "scripts", tmp_path / "scripts").parent
    for name in (".venv", "pyproject.toml", "setup.py"):
        (here / name).symlink_to(ready / name)
    (here / "darkpy").mkdir()
    (here / "darkpy" / "wrong.py").write_text("import os\ndef f(x): return x\n")
    told = script(here, "check", status=1)
    assert "F401" in told and "no-untyped-def" in told and "would be reformatted" in told


def test_bench_names_what_there_is(ready):
    (ready / "benchmarks").mkdir(exist_ok=True)
    (ready / "benchmarks" / "bench_sum.py").write_text("import sys; print(sys.argv[1:])")
    assert "['8']" in script(ready, "bench", "sum", "8")
    assert "no benchmark 'product'; there are: sum" in script(ready, "bench", "product", status=2)


def test_quickstart_wants_cfg_and_weights(ready):
    assert "expected: scripts/quickstart" in script(ready, "quickstart", "a.cfg", status=2)


def test_quickstart_detects_with_the_files_given(ready, tmp_path):
    write_model(tmp_path)
    files = [tmp_path / f"tiny.{kind}" for kind in ("data", "cfg", "weights")]
    told = run(sys.executable, ready / "scripts" / "quickstart", *files, cwd=tmp_path)
    assert "street.png: Predicted in" in told
    assert f"drawn in {tmp_path / 'predictions.jpg'}" in told


def test_quickstart_without_files_is_the_command_of_that_name(ready, tmp_path):
    told = run(
        sys.executable, ready / "scripts" / "quickstart", "--pictures", 1, cwd=tmp_path, status=2
    )
    assert "darkpy quickstart [OPTIONS] [FOLDER]" in told and "--pictures" in told


def test_nothing_is_installed_again_until_the_needs_change(ready, monkeypatch):
    scripts = load(ready)
    done = []
    monkeypatch.setattr(scripts, "install", lambda *what: done.append(what))
    scripts.prepare()
    assert done == []
    setup = ready / "setup.py"
    before = setup.read_text("utf-8")
    try:
        setup.write_text(before + "\n# another need\n", "utf-8")
        scripts.prepare()
    finally:
        setup.write_text(before, "utf-8")
        scripts.STAMP.write_text(scripts.fingerprint(), "utf-8")
    assert done == [("--editable", f"{ready}[test]")]


def test_an_old_python_looks_for_a_newer_one(monkeypatch):
    scripts = load(ROOT)
    monkeypatch.setattr(scripts.sys, "version_info", (3, 8, 0))
    found = {"python3.12": "/usr/bin/python3.12"}
    monkeypatch.setattr(scripts.shutil, "which", found.get)
    assert scripts.suitable_python() == "/usr/bin/python3.12"
    found.clear()
    with pytest.raises(SystemExit) as left:
        scripts.suitable_python()
    assert left.value.code == 2


@not_windows
def test_ci_fails_when_a_test_fails(ready):
    bad = ready / "tests" / "test_bad.py"
    bad.write_text("def test_bad():\n    raise ValueError\n")
    try:
        assert "1 failed, 2 passed" in run("bash", ready / ".ci" / "run", cwd=ready, status=1)
    finally:
        bad.unlink()
