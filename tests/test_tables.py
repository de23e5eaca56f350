"""Words in columns."""

from darkpy.tables import aligned


def test_columns_end_and_begin_below_each_other():
    rows = [("a", "1"), ("bcd", "22")]
    assert aligned(rows, "<>") == "a     1\nbcd  22"
    assert aligned(rows, "><") == "  a  1\nbcd  22"
