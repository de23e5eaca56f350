"""darkpy doctor: its table, its JSON, its exit status."""

import json
import subprocess
import sys

import pytest

from darkpy import doctor
from darkpy.cli import main
from darkpy.cuda import Finding
from tests.conftest import ROOT
from tests.machines import H200, pretend

GOOD = [Finding("numpy", "2.1"), Finding("NVIDIA driver", "none", "there is none: get one")]
BAD = [*GOOD, Finding("Numba", "none", "Numba is not installed: pip install numba", fault=True)]


@pytest.fixture
def darkpy(capsys):
    """Run the command line; return exit status, stdout and stderr."""

    def run(*words):
        with pytest.raises(SystemExit) as stop:
            main(["doctor", *map(str, words)])
        return stop.value.code, *capsys.readouterr()

    return run


@pytest.fixture(params=[GOOD, BAD], ids=["works", "broken"])
def found(request, monkeypatch):
    monkeypatch.setattr(doctor, "report", lambda *_: request.param)
    return request.param


def test_a_table_and_sentences(darkpy, found):
    code, out, err = darkpy()
    assert (code, err) == (int(found is BAD), "")
    table, said = out.split("\n\n")
    assert table.splitlines()[:2] == ["numpy          2.1", "NVIDIA driver  none"]
    assert said.splitlines()[0] == "NVIDIA driver: there is none: get one"
    assert said.splitlines()[-1].startswith("darkpy does not work" if code else "darkpy works")


def test_json_holds_the_same(darkpy, found, tmp_path):
    code, out, err = darkpy("--json")
    assert (code, err) == (int(found is BAD), "")
    said = json.loads(out)
    assert said["works"] == (found is GOOD)
    assert [Finding(**one) for one in said["findings"]] == found
    assert darkpy("--json", tmp_path / "found.json")[0] == code
    assert json.loads((tmp_path / "found.json").read_text()) == said


def test_a_file_that_cannot_be_written(darkpy, found, tmp_path):
    code, _, err = darkpy("--json", tmp_path / "none" / "found.json")
    assert code == 2 and "found.json" in err


def test_this_machine(darkpy, monkeypatch):
    pretend(monkeypatch, version=(13, 0), cards=(H200,))
    code, out, _ = darkpy()
    assert code == 0
    assert 'CuPy: CuPy is not installed: pip install "darkpy-yolo[cuda13]"' in out
    assert out.endswith("darkpy works here, on the processor\n")


@pytest.mark.parametrize("module", ["numpy", "llvmlite", "numba", "cv2"])
def test_it_runs_where_a_library_is_missing(module):
    program = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from darkpy.cli import main; main(['doctor', '--json'])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    assert not said["works"]
    assert any(one["fault"] and "pip install" in one["missing"] for one in said["findings"])
