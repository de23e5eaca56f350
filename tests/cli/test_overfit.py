"""darkpy detector overfit: what it prints, and its exit status."""

import pytest

from darkpy.cli import main
from tests.tiny import write_training

FILES = ("tiny.data", "tiny.cfg")


@pytest.fixture
def overfit(tmp_path, monkeypatch, capsys):
    """Run the command in a folder with the files of a training; return status, stdout, stderr."""
    monkeypatch.chdir(write_training(tmp_path))

    def run(*words):
        with pytest.raises(SystemExit) as stop:
            main(["detector", "overfit", *words])
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


def test_learned(overfit, tmp_path):
    before = sorted(tmp_path.iterdir())
    code, out, err = overfit(*FILES, "-n", "1", "-dont_show")
    assert code == 0, err
    assert "mean average precision (mAP@0.50) = 1.000000, or 100.00 %" in out
    assert out.splitlines()[-1].startswith("The pipeline can learn")
    assert sorted(tmp_path.iterdir()) == before


def test_not_learned(overfit):
    code, out, _ = overfit(*FILES, "-n", "2", "--iterations", "10")
    assert code == 1
    assert "After 10 iterations on 2 pictures" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (FILES[::-1], "this is a .cfg, and the .data file comes before it"),
        ((*FILES, "no.weights"), "no.weights: cannot be read"),
        ((*FILES, "--set", "net.lerning_rate=1"), "did you mean 'learning_rate'?"),
        ((*FILES, "-n", "0"), "0 is not in the range"),
    ],
)
def test_wrong_input(overfit, words, message):
    code, out, err = overfit(*words)
    assert (code, out) == (2, "")
    assert message in err
