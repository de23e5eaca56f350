import pytest

from darkpy.cfg import read_cfg
from darkpy.errors import CfgError
from darkpy.layers import LAYERS
from darkpy.tree import ClassMap, Tree


@pytest.fixture
def write(tmp_path):
    def write(text, name="x.tree"):
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return write


def test_runs_of_one_parent_are_groups(write):
    tree = Tree.read(write("animal -1\nplant -1\ncat 0\ndog 0\nrose 1\nlion 2\ntiger 2\n"))
    assert tree.names == ("animal", "plant", "cat", "dog", "rose", "lion", "tiger")
    assert tree.parents == (-1, -1, 0, 0, 1, 2, 2)
    assert tree.groups == ((0, 2), (2, 2), (4, 1), (5, 2))
    assert tree.counts == (2, 2, 1, 2)


def test_line_ends_blanks_and_names_of_any_script(write):
    tree = Tree.read(write("\ufeffネコ -1\r\n  猫\t0 \r\n\r\n\r\n"))
    assert tree.names[0] == "ネコ" and tree.parents == (-1, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.tree: has no class"),
        ("\n\n", "x.tree: has no class"),
        ("a -1\nb\n", "x.tree:2: expected 'name parent', got 'b'"),
        ("a -1\n\nb 0\n", "x.tree:2: expected 'name parent', got ''"),
        ("a -1\nb zero\n", "x.tree:2: expected 'name parent', got 'b zero'"),
        ("a -1\nb 1\n", "x.tree:2: parent 1 is not an earlier class or -1"),
        ("a -2\n", "x.tree:1: parent -2 is not"),
        ("a " + "9" * 6000 + "\n", "x.tree:1: "),
        ("a -1\0\n", "x.tree: is not a text file"),
    ],
)
def test_a_bad_tree_is_refused_with_its_line(write, text, message):
    with pytest.raises(CfgError) as caught:
        Tree.read(write(text))
    assert message in str(caught.value) and len(str(caught.value)) < 400


def test_a_missing_tree_is_refused(tmp_path):
    with pytest.raises(CfgError, match=r"gone\.tree: cannot be read: No such file"):
        Tree.read(tmp_path / "gone.tree")


def test_a_map_is_a_number_a_line(write):
    found = ClassMap.read(write("5177\r\n 3768\n0\n\n", "x.map"))
    assert found == (5177, 3768, 0) and isinstance(found, ClassMap)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.map: has no class"),
        ("1\n-2\n", "x.map:2: expected the index of a class, got '-2'"),
        ("1\n\n2\n", "x.map:2: expected the index of a class, got ''"),
        ("1\ncat\n", "x.map:2: expected the index of a class, got 'cat'"),
        ("9" * 5000 + "\n", "x.map:1: expected the index of a class"),
        ("²\n", "x.map:1: expected the index of a class"),
    ],
)
def test_a_bad_map_is_refused_with_its_line(write, text, message):
    with pytest.raises(CfgError) as caught:
        ClassMap.read(write(text, "x.map"))
    assert message in str(caught.value) and len(str(caught.value)) < 400


def test_the_map_of_yolo9000_loads_and_its_damaged_tree_is_refused(shared):
    """The reference copy of 9k.tree has a hole of zero bytes where 704 lines should be."""
    cfg = shared / "data" / "cfg" / "yolo9000.cfg"
    region = read_cfg(cfg)[-1]
    assert len(ClassMap.read(cfg.with_name("coco9k.map"))) == 80
    with pytest.raises(CfgError, match=r"9k\.tree: is not a text file .*zero bytes"):
        region.build(LAYERS["region"]).hierarchy  # noqa: B018 - reading it is the test
