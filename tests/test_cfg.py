"""Text in, sections and records out: darknet's rules, and a plain sentence for what breaks them."""

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkpy.cfg import Section, find_file, key, read_cfg, read_data, read_names, read_text
from darkpy.errors import CfgError, DarkpyError
from darkpy.layers import LAYERS
from darkpy.net import NetOptions
from tests.conftest import SHARED

CFGS = sorted((SHARED / "data" / "cfg").rglob("*.cfg"))


@dataclass(frozen=True)
class Record:
    """A value of every kind that a section can give."""

    count: int = key(1, least=1, most=100)
    share: float = key(0.5, least=0)
    flag: bool = False
    word: str = key("red", choices=("red", "green", "blue"))
    text: str = ""
    maybe: int | None = key(None)
    numbers: tuple[int, ...] = key((), least=0)
    shares: tuple[float, ...] = ()
    from_: int = key(-1, name="from")
    file: str | None = key(None, path=True)
    folder: str | None = key(None, output=True)
    hidden: int = key(7, name="")


@pytest.fixture
def write(tmp_path):
    """Write a file and return its path; text becomes UTF-8."""

    def write(content, name="x.cfg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def record(write):
    """Build a Record of the keys in a text."""

    def build(text, strict=False):
        return read_cfg(write("[record]\n" + text), strict)[0].build(Record)

    return build


@pytest.fixture
def warnings(caplog):
    """Return what darkpy warned of since the last call, without the folder."""
    caplog.set_level(logging.WARNING, "darkpy")

    def take():
        found = [entry.getMessage() for entry in caplog.records]
        caplog.clear()
        return [re.sub(r"^.*[/\\](?=[^/\\]+: \[)", "", message) for message in found]

    return take


# Lines and sections


def test_sections_keys_and_lines(write):
    path = write("# comment\n\n[net]\nwidth=32\n; another\nheight = 24\n\n[yolo]\nmask = 0, 1\n")
    net, yolo = read_cfg(path)
    assert net == Section("net", str(path), 3, {"width": "32", "height": "24"}, net.lines)
    assert net.lines == {"width": 4, "height": 6}
    assert (yolo.name, yolo.line, yolo.keys, yolo.lines) == (
        "yolo",
        8,
        {"mask": "0,1"},
        {"mask": 9},
    )
    assert yolo.where() == f"{path}:8: [yolo]" and yolo.where("mask") == f"{path}:9: [yolo]"


def test_blanks_do_not_count_anywhere(write):
    (net,) = read_cfg(write(" [ n e t ]\n\t wid th \t=  3 2 \n anchors = 1 , 2,\t3\n\u00a0\n"))
    assert net.name == "net" and net.keys == {"width": "32", "anchors": "1,2,3"}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end(write, end):
    (net,) = read_cfg(write(end.join(["[net]", "# x", "", "width=32", "height=24"])))
    assert net.keys == {"width": "32", "height": "24"}
    assert net.lines == {"width": 4, "height": 5}


@pytest.mark.parametrize("separator", ["\u0085", "\u2028", "\x0b", "\x0c", "\x1c"])
def test_nothing_else_ends_a_line(write, separator):
    (net,) = read_cfg(write(f"[net]\n# one{separator}two\nwidth=32\n"))
    assert net.lines == {"width": 3}
    assert read_names(write(f"a{separator}b\nc\n")) == (f"a{separator}b", "c")


def test_a_comment_in_an_old_code_page(write):
    (net,) = read_cfg(write(b"[net]\n# a \x85 b\nwidth=32\n"))  # an ellipsis of Windows
    assert net.keys == {"width": "32"}


def test_a_byte_order_mark_is_skipped(write):
    assert read_cfg(write(b"\xef\xbb\xbf[net]\nwidth=1\n"))[0].name == "net"
    assert read_names(write(b"\xef\xbb\xbfcat\n")) == ("cat",)
    assert read_data(write(b"\xef\xbb\xbfclasses=2\n")).classes == 2


def test_a_comment_may_follow_a_section(write):
    assert read_cfg(write("[net] # the options\n"))[0].name == "net"


def test_a_value_is_all_that_follows_the_first_equals_sign(write):
    assert read_cfg(write("[net]\ntext=a=b=c\n"))[0].keys == {"text": "a=b=c"}


def test_of_equal_keys_the_first_counts(write, warnings):
    path = write("[net]\nwidth=32\nwidth=64\nwidth=96\n")
    (net,) = read_cfg(path)
    assert net.keys == {"width": "32"} and net.lines == {"width": 2}
    assert warnings() == [
        "x.cfg:3: [net] second 'width'; the one in line 2 is used",
        "x.cfg:4: [net] second 'width'; the one in line 2 is used",
    ]
    with pytest.raises(CfgError, match=r"x\.cfg:3: \[net\] second 'width'"):
        read_cfg(path, strict=True)


def test_equal_keys_of_two_sections_are_two(write, warnings):
    first, second = read_cfg(write("[yolo]\nnum=1\n[yolo]\nnum=2\n"))
    assert (first.keys["num"], second.keys["num"], warnings()) == ("1", "2", [])


def test_a_key_without_a_value_is_ignored(write, warnings):
    path = write("[net]\nwidth=\nwidth = 32\n")
    assert read_cfg(path)[0].keys == {"width": "32"}
    assert warnings() == ["x.cfg:2: [net] 'width' has no value and is ignored"]
    with pytest.raises(CfgError, match=r"x\.cfg:2: \[net\] 'width' has no value"):
        read_cfg(path, strict=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.cfg: has no section; expected a [net] and its layers"),
        ("# only\n; comments\n", "x.cfg: has no section"),
        ("width=32\n", "x.cfg:1: expected [net] first, got 'width=32'"),
        ("[net]\nwidth\n", "x.cfg:2: expected key = value, got 'width'"),
        ("[net]\n=32\n", "x.cfg:2: expected key = value, got '=32'"),
        ("[net\n", "x.cfg:1: expected [section], got '[net'"),
        ("[]\n", "x.cfg:1: expected [section], got '[]'"),
        ("[net]x\n", "x.cfg:1: expected [section], got '[net]x'"),
        ("\n\n[net]\n\nwidth: 32\n", "x.cfg:5: expected key = value, got 'width:32'"),
        ("<html>\n", "x.cfg:1: expected [net] first, got '<html>'"),
    ],
)
def test_what_is_no_cfg_is_refused_with_its_line(write, text, message):
    path = write(text)
    with pytest.raises(CfgError) as caught:
        read_cfg(path)
    assert str(caught.value).startswith(str(path.parent / message))


# Values


def test_every_kind_of_value(record, tmp_path):
    (tmp_path / "a.txt").touch()
    got = record(
        "count=3\nshare=.25\nflag=1\nword=blue\ntext=x/y\nmaybe=-4\nnumbers=1,2, 3\n"
        "shares=1,.5,1e-2\nfrom=-2\nfile=a.txt\nfolder=nowhere\n",
        strict=True,
    )
    assert got == Record(
        count=3,
        share=0.25,
        flag=True,
        word="blue",
        text="x/y",
        maybe=-4,
        numbers=(1, 2, 3),
        shares=(1.0, 0.5, 0.01),
        from_=-2,
        file=str(tmp_path / "a.txt"),
        folder="nowhere",
    )
    kinds = [type(value) for value in (got.count, got.share, got.flag, *got.shares)]
    assert kinds == [int, float, bool, float, float, float]


def test_what_is_not_given_has_its_default(record):
    assert record("") == Record()


@pytest.mark.parametrize(
    ("text", "value"),
    [("2", True), ("-1", True), ("0", False), ("00", False), ("+1", True)],
)
def test_a_flag_is_any_number_but_zero(record, text, value):
    assert record(f"flag={text}").flag is value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.", 1.0),
        (".5", 0.5),
        ("+.5", 0.5),
        ("1e3", 1000.0),
        ("1.5E-2", 0.015),
        ("7", 7.0),
        ("3.4028234e38", 3.4028234e38),
        ("1e-400", 0.0),
    ],
)
def test_every_way_to_write_a_number(record, text, value):
    assert record(f"share={text}", strict=True).share == value


@pytest.mark.parametrize(
    ("line", "name", "value", "message"),
    [
        ("count=40#32", "count", 40, "count = '40#32' is read as 40"),
        ("count = 40 # 32", "count", 40, "count = '40#32' is read as 40"),
        ("count=4.7", "count", 4, "count = '4.7' is read as 4"),
        ("count=1e1", "count", 1, "count = '1e1' is read as 1"),
        ("share=0.5f", "share", 0.5, "share = '0.5f' is read as 0.5"),
        ("share=1,5", "share", 1.0, "share = '1,5' is read as 1"),
        ("share=1e", "share", 1.0, "share = '1e' is read as 1"),
        ("flag=1;", "flag", True, "flag = '1;' is read as 1"),
        ("numbers=1,2#,3", "numbers", (1, 2), "numbers is read up to '#'"),
        ("numbers=1,2x,3", "numbers", (1, 2, 3), "numbers = '2x' is read as 2"),
        ("numbers=1,,2,", "numbers", (1, 2), "numbers has a comma with no number; it is left out"),
    ],
)
def test_what_follows_a_number_is_left_out_with_a_warning(
    record, warnings, line, name, value, message
):
    assert getattr(record(line), name) == value
    assert warnings() == [f"x.cfg:2: [record] {message}"]
    with pytest.raises(CfgError, match=r"x\.cfg:2: \[record\] "):
        record(line, strict=True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("count=abc", "count = 'abc': expected a whole number"),
        ("count=.5", "count = '.5': expected a whole number"),
        ("count=-", "count = '-': expected a whole number"),
        ("count=0", "count = 0: expected at least 1"),
        ("count=101", "count = 101: expected at most 100"),
        ("count=2147483648", "count = 2147483648: expected a number of 32 bits"),
        ("count=" + "1" * 50, "has too many digits"),
        ("share=abc", "share = 'abc': expected a number"),
        ("share=nan", "share = 'nan': expected a number"),
        ("share=inf", "share = 'inf': expected a number"),
        ("share=1e39", "share = '1e39': expected a number of 32 bits"),
        ("share=1e999", "share = '1e999': expected a number of 32 bits"),
        ("share=-.1", "share = -0.1: expected at least 0"),
        ("flag=yes", "flag = 'yes': expected a whole number"),
        ("word=gren", "word = 'gren' is not known; did you mean 'green'?"),
        ("word=zzz", "word = 'zzz' is not known; known: red, green, blue"),
        ("numbers=1,two", "numbers = 'two': expected a whole number"),
        ("numbers=1,-2", "numbers = -2: expected at least 0"),
        ("shares=1,,nan", "shares = 'nan': expected a number"),
        ("text=x\nmaybe=none", "maybe = 'none': expected a whole number"),
        ("file=" + "y/" * 3000, "too long for the name of a file"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_line(record, line, message):
    number = 2 + line.count("\n")
    with pytest.raises(CfgError) as caught:
        record(line)
    assert f"x.cfg:{number}: [record] " in str(caught.value) and message in str(caught.value)
    assert len(str(caught.value)) < 400


# Keys


def test_an_unknown_key_is_warned_of_with_the_nearest_name(record, warnings):
    assert record("counts=3\nzzzz=1\n") == Record()
    assert warnings() == [
        "x.cfg:2: [record] unknown key 'counts'; did you mean 'count'?",
        "x.cfg:3: [record] unknown key 'zzzz'",
    ]
    with pytest.raises(CfgError, match=r"x\.cfg:2: \[record\] unknown key 'counts'; did you mean"):
        record("counts=3\n", strict=True)


def test_keys_are_known_by_their_name_in_the_file_alone(record, warnings):
    assert record("from_=3\nhidden=1\n") == Record()
    assert [message.partition(";")[0] for message in warnings()] == [
        "x.cfg:2: [record] unknown key 'from_'",
        "x.cfg:3: [record] unknown key 'hidden'",
    ]


@pytest.mark.skipif(not CFGS, reason="the reference cfgs (../shared/data/cfg) are not here")
@pytest.mark.parametrize("path", CFGS, ids=lambda path: path.stem)
def test_every_section_of_the_reference_cfgs_builds(path, warnings):
    """Unknown keys are typing errors of their authors; of the layers, these alone have some."""
    net, *layers = read_cfg(path)
    net.build(NetOptions)
    for section in layers:
        section.build(LAYERS[section.name])
    unknown = {message.split("'")[1] for message in warnings() if "unknown key" in message}
    expected = {"yolov4-sam-mish-csp-reorg-bfm": {"uc_normalizer", "beta1"}}
    assert unknown == expected.get(path.stem, set())


# Files of text


def test_what_is_no_text_is_refused(write):
    for content, message in {
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR": "is not a text file (it contains zero bytes)",
        "[net]\n".encode("utf-16"): "is encoded as UTF-16; save it as UTF-8",
        "[net]\n".encode("utf-16-le"): "is not a text file",
    }.items():
        for read in (read_cfg, read_data, read_names, read_text):
            path = write(content)
            with pytest.raises(CfgError) as caught:
                read(path)
            assert str(caught.value).startswith(f"{path}: {message}")


def test_what_cannot_be_read_is_refused(tmp_path):
    for path, message in {
        tmp_path / "gone.cfg": "No such file",
        tmp_path: "cannot be read",
        "~nobody-of-this-name/x.cfg": "No such file",
        "a\0b": "null",
        "x" * 5000: "cannot be read",
    }.items():
        with pytest.raises(CfgError, match=message):
            read_cfg(path)


def test_a_home_folder_may_be_named_by_a_tilde(write, monkeypatch):
    path = write("[net]\n")
    monkeypatch.setenv("HOME", str(path.parent))
    monkeypatch.setenv("USERPROFILE", str(path.parent))
    assert read_cfg("~/x.cfg")[0].name == "net"
    assert find_file("~/x.cfg", "other.cfg") == str(path)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="this system has no /dev/zero")
def test_a_file_without_end_is_refused():
    with pytest.raises(CfgError, match="longer than 16 MiB; is it a text file"):
        read_text("/dev/zero")


LONG = "9" * 10_000_000  # a line of 10 MB


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        "[" + LONG,
        "[" + LONG + "]",
        "[record]\n" + LONG,
        *(f"[record]\n{name}={LONG}" for name in ("count", "share", "word", "numbers", "file")),
        "[record]\nnumbers=" + "1," * 5_000_000,
        "[record]\n" * 200_000,
    ],
    ids=lambda text: text[:20].strip(),
)
def test_an_endless_line_or_list_is_refused_in_a_short_sentence(write, text):
    path = write(text)
    with pytest.raises(CfgError) as caught:
        read_cfg(path)[0].build(Record)
    assert len(str(caught.value)) < 300 + 2 * len(str(path))


def test_an_endless_key_is_warned_of_in_a_short_sentence(record, warnings):
    record(f"{LONG}=1")
    (message,) = warnings()
    assert "unknown key '999" in message and len(message) < 200


@given(st.binary(max_size=300) | st.text(alphabet="[]=#;,.-+ \t\r\nnet10aé", max_size=200))
def test_no_bytes_end_in_another_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.cfg"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for read in (read_cfg, read_data, read_names):
        try:
            read(path)
        except DarkpyError as error:
            assert str(error).startswith(str(path))


# Which file a name means


def test_the_places_where_a_named_file_is_looked_for(tmp_path, monkeypatch):
    home, work = tmp_path / "darknet" / "cfg", tmp_path / "work"
    home.mkdir(parents=True)
    work.mkdir()
    monkeypatch.chdir(work)
    cfg = str(home / "x.cfg")
    places = [  # from the last to the first in turn: each, once there, goes before those above
        (home / "y.txt", "y.txt"),
        (work / "data" / "y.txt", "data/y.txt"),
        (tmp_path / "darknet" / "data" / "y.txt", "data/y.txt"),
        (home / "data" / "y.txt", "data/y.txt"),
    ]
    assert find_file("data/y.txt", cfg) == str(home / "data" / "y.txt")
    for place, _ in places:
        place.parent.mkdir(exist_ok=True)
        place.touch()
        assert Path(find_file("data/y.txt", cfg)).resolve() == place
        assert Path(find_file(r"data\y.txt", cfg)).resolve() == place


def test_an_absolute_name_means_itself(tmp_path):
    (tmp_path / "y.txt").touch()
    gone = str(tmp_path / "gone" / "y.txt")
    assert find_file(gone, str(tmp_path / "x.cfg")) == gone


# .data and .names


def test_a_data_file(write, tmp_path):
    (tmp_path / "my pictures").mkdir()
    (tmp_path / "my pictures" / "train.txt").touch()
    path = write(
        "# cars\nclasses = 3\ntrain = my pictures/train.txt\r\nvalid=gone.txt\n names = x.names\n"
        "back up = weights of mine\neval = coco\n;top=5\n",
        "x.data",
    )
    data = read_data(path, strict=True)
    assert (data.classes, data.eval, data.top, data.path) == (3, "coco", 1, str(path))
    assert data.train == str(tmp_path / "my pictures" / "train.txt")
    assert data.valid == str(tmp_path / "gone.txt")
    assert data.backup == "weights of mine"
    assert data.results is None


def test_a_data_file_is_warned_of_as_a_cfg_is(write, warnings):
    path = write("classes=2\nclasses=3\nname=x\npath=y\nvalid=\n", "x.data")
    data = read_data(path)
    assert (data.classes, data.valid, data.path) == (2, None, str(path))
    assert warnings() == [
        "x.data:2: [data] second 'classes'; the one in line 1 is used",
        "x.data:5: [data] 'valid' has no value and is ignored",
        "x.data:3: [data] unknown key 'name'; did you mean 'names'?",
        "x.data:4: [data] unknown key 'path'",
    ]
    for text, message in {
        "classes": r"x\.data:1: expected key = value",
        "classes=0": r"x\.data:1: \[data\] classes = 0: expected at least 1",
        "\nclasses=two": r"x\.data:2: \[data\] classes = 'two': expected a whole number",
    }.items():
        with pytest.raises(CfgError, match=message):
            read_data(write(text, "x.data"))


def test_a_cfg_in_place_of_a_data_file_is_named(write):
    with pytest.raises(CfgError, match=r"x\.cfg:2: expected key = value.*the .data file comes bef"):
        read_data(write("# a network\n[net]\nwidth=32\n", "x.cfg"))


def test_a_folder_to_be_made_may_have_backslashes(write):
    path = write("backup = new\\weights\r\n", "x.data")
    assert Path(read_data(path).backup) == Path("new", "weights")


# Settings


def test_settings_count_instead_of_what_the_file_says(write):
    path = write("[network]\nbatch=1\n[yolo]\nmax=5\n[net2]\n[yolo]\n")
    settings = ("net.batch=8", " yolo . random = 1 ", "net.batch=16")
    net, first, _, second = read_cfg(path, settings=settings)
    assert net.keys == {"batch": "16"}
    assert first.keys == {"max": "5", "random": "1"} and second.keys == {"random": "1"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("net.batch", "'net.batch': expected section.key=value, as in net.batch=32"),
        ("batch=8", "'batch=8': expected section.key=value"),
        ("nte.batch=8", r"x\.cfg has no \[nte\]; did you mean 'net'\?"),
        ("net.bacth=8", r"x\.cfg: set \[net\] unknown key 'bacth'; did you mean 'batch'\?"),
        ("net.batch=8x", r"x\.cfg: set \[net\] batch = '8x' is read as 8"),
        ("net.batch=0", r"x\.cfg: set \[net\] batch = 0: expected at least 1"),
    ],
)
def test_a_setting_is_read_strictly(write, setting, message):
    with pytest.raises(CfgError, match=message):
        read_cfg(write("[net]\nbatch=1\n"), settings=(setting,))[0].build(NetOptions)


def test_the_reference_data_files_have_no_unknown_key(shared, warnings):
    paths = sorted((shared / "data" / "cfg").glob("*.data"))
    assert paths
    for path in paths:
        assert read_data(path, strict=True).path == str(path)


def test_names_are_lines(write):
    names = "traffic light\r\n 猫 \r\n\nNiño #1\n; not a comment\n\n \n"
    assert read_names(write(names)) == ("traffic light", "猫", "", "Niño #1", "; not a comment")
    assert read_names(write("Niño\n".encode("latin-1"))) == ("Niño",)
    for empty in ("", "\n \n"):
        with pytest.raises(CfgError, match="has no name; expected one class a line"):
            read_names(write(empty))


def test_paths_of_any_script(write):
    path = write("[net]\nwidth=1\nwidth=2\n", "重み é.cfg")
    assert read_cfg(path)[0].path == str(path)
