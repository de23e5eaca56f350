"""The data set of blood cells is what its annotations say."""

import numpy as np
import pytest

from darkpy import Network, read_weights
from darkpy.cfg import names_of, read_data
from darkpy.data.dataset import read_list, read_truths
from tests.bccd import BACKBONE, NAMES, label_lines, write_bccd, write_model

XML = """<annotation><size><width>640</width><height>480</height><depth>3</depth></size>
<object><name>RBC</name><bndbox>
<xmin>346</xmin><ymin>361</ymin><xmax>446</xmax><ymax>454</ymax></bndbox></object></annotation>"""


def test_a_box_is_turned_as_voc_label_does():
    assert list(label_lines(XML)) == ["1 0.617188 0.846875 0.156250 0.193750"]


def test_entities_are_refused():
    with pytest.raises(ValueError, match="document type"):
        list(label_lines('<!DOCTYPE a [<!ENTITY b "c">]>' + XML))


def test_the_whole_set_has_all_objects_and_two_boxes_without_area(shared, tmp_path):
    data = read_data(write_bccd(shared, tmp_path), strict=True)
    assert (data.classes, names_of(data)) == (len(NAMES), NAMES)
    lists = [read_list(data.train), read_list(data.valid)]
    assert [len(paths) for paths in lists] == [292, 72]
    assert not {*lists[0]} & {*lists[1]}
    labels = np.concatenate(read_truths(lists[0] + lists[1], len(NAMES)))
    assert np.bincount(labels[:, 0].astype(int)).tolist() == [372, 4155, 361]
    assert (labels[:, 3:] == 0).all(axis=1).sum() == 2


def test_the_model_is_ready_to_learn_three_classes(shared, tmp_path):
    write_model(shared / "data" / "models", tmp_path)
    network = Network.from_cfg(tmp_path / "bccd.cfg")
    assert [node.shape for node in network.heads] == [(24, 10, 10), (24, 20, 20)]
    options = network.options
    assert (options.batch, options.max_batches, options.burn_in) == (16, 300, 30)
    assert options.steps == (240, 270) and options.scales == (0.1, 0.1)
    params = read_weights(network, tmp_path / "bccd.weights", upto=BACKBONE)
    assert params.loaded == BACKBONE
