"""[net]: the options of a whole network, with darknet's defaults (parser.c:parse_net_options)."""

from __future__ import annotations

from dataclasses import dataclass

from .cfg import key

POLICIES = ("constant", "random", "poly", "step", "exp", "sigmoid", "steps", "sgdr")
BELOW_1 = 0.999999  # of what forgets: 1 never would


@dataclass(frozen=True, kw_only=True)
class NetOptions:
    """The keys of [net]; the input is ``channels`` x ``height`` x ``width``, or ``inputs`` long.

    train_bn_bias  (darkpy's own) the biases of batch normalisation are learned too
    """

    batch: int = key(1, least=1)
    subdivisions: int = key(1, least=1)
    time_steps: int = key(1, least=1)
    sequential_subdivisions: int = key(0, least=0)
    track: bool = False
    augment_speed: int = 2
    width: int = key(0, least=0)
    height: int = key(0, least=0)
    channels: int = key(0, least=0)
    inputs: int = key(0, least=0)
    max_crop: int = 0
    min_crop: int = 0

    learning_rate: float = 0.001
    learning_rate_min: float = 0.00001
    momentum: float = 0.9
    decay: float = 0.0001
    policy: str = key("constant", choices=POLICIES)
    burn_in: int = key(0, least=0)
    power: float = 4.0
    max_batches: int = key(0, least=0)
    max_epochs: int = key(0, least=0)
    step: int = 1
    scale: float = 1.0
    steps: tuple[int, ...] = ()
    scales: tuple[float, ...] = ()
    seq_scales: tuple[float, ...] = ()
    gamma: float = 1.0
    sgdr_cycle: int = 0
    sgdr_mult: int = 2
    adam: bool = False
    B1: float = key(0.9, least=0, most=BELOW_1)
    B2: float = key(0.999, least=0, most=BELOW_1)
    eps: float = 0.000001

    flip: bool = True
    angle: float = 0.0
    aspect: float = 1.0
    saturation: float = 1.0
    exposure: float = 1.0
    hue: float = 0.0
    blur: int = 0
    gaussian_noise: int = 0
    mixup: bool = False
    cutmix: bool = False
    mosaic: bool = False
    mosaic_bound: bool = False
    letter_box: bool = False
    label_smooth_eps: float = 0.0
    resize_step: int = key(32, least=1)
    attention: bool = False
    adversarial_lr: float = 0.0
    max_chart_loss: float = 20.0
    contrastive: bool = False
    contrastive_jit_flip: bool = False
    contrastive_color: bool = False
    unsupervised: bool = False
    ema_alpha: float = 0.0
    loss_scale: float = 1.0
    dynamic_minibatch: bool = False
    optimized_memory: int = 0
    workspace_size_limit_MB: int = 1024
    use_cuda_graph: bool = False
    try_fix_nan: bool = False
    train_bn_bias: bool = False
    weights_reject_freq: int = 0
    equidistant_point: int = 0
    badlabels_rejection_percentage: float = 0.0
    num_sigmas_reject_badlabels: float = 0.0
    show_receptive_field: bool = False
    seen: int = 0
