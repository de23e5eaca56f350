import pytest

from darkpy import CfgError, Network, NetworkError

NET = "[net]\nwidth=8\nheight=8\nchannels=3\n"
SECTIONS = {
    "rnn": "output=2 hidden=3 activation=leaky batch_normalize=1 logistic=1 shortcut=1",
    "gru": "output=2 batch_normalize=1",
    "lstm": "output=2 batch_normalize=1",
    "crnn": "output=2 hidden=3 size=5 stride=2 dilation=2 pad=1 padding=1 groups=2 "
    "activation=leaky batch_normalize=1 xnor=1 shortcut=1",
    "conv_lstm": "output=2 size=5 stride=2 dilation=2 pad=1 padding=1 groups=2 activation=leaky "
    "lstm_activation=relu batch_normalize=1 xnor=1 peephole=1 bottleneck=1 state_constrain=16 "
    "shortcut=1 time_normalizer=.5",
    "history": "history_size=2",
}


@pytest.mark.parametrize("name", SECTIONS)
def test_every_key_is_read(build, name):
    layer = build(name, SECTIONS[name])
    for pair in SECTIONS[name].split():
        key, _, text = pair.partition("=")
        value = getattr(layer, key)
        assert value == (text if isinstance(value, str) else float(text))


@pytest.mark.parametrize("name", SECTIONS)
def test_a_network_with_one_is_refused_in_a_sentence(name, tmp_path):
    path = tmp_path / "x.cfg"
    path.write_text(f"{NET}[convolutional]\n[{name}]\n")
    with pytest.raises(NetworkError) as caught:
        Network.from_cfg(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:6: layer 1 [{name}]: ")
    assert "darkpy does not run recurrent layers yet" in message


@pytest.mark.parametrize("name", SECTIONS)
def test_a_typing_error_is_still_found(build, name):
    with pytest.raises(CfgError, match=r"one\.cfg:2: .*unknown key 'batch_normalise'"):
        build(name, "batch_normalise=1")
