import numpy as np

from darkpy.layers.avgpool import Avgpool
from tests.layers.gradient import check_layer, drawn, run


def test_forward_and_gradient(rng):
    x = drawn((2, 3, 4, 5), rng)
    y = run(Avgpool(), x)[1]
    expected = [[sum(channel.reshape(-1)) / 20 for channel in image] for image in x]
    np.testing.assert_allclose(y[:, :, 0, 0], expected, rtol=1e-12)  # sums in another order
    check_layer(Avgpool(), x.shape[1:])
    check_layer(Avgpool(), (4, 1, 1))
