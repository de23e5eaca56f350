"""The kernels of the processor: Numba where it helps, under the names of the reference ops."""

from .activate import activate, activate_grad
from .batchnorm import batch_statistics, batchnorm, batchnorm_grad
from .best_overlap import best_overlap
from .combine import add, bias, concat, multiply
from .conv2d import conv2d, conv2d_input_grad, conv2d_weight_grad
from .nms import nms
from .optimizer import adam_step, ema_step, sgd_step
from .pool import maxpool, maxpool_grad
from .upsample import upsample, upsample_grad
from .yolo import yolo
from .yolo_loss import gaussian_yolo_loss, yolo_loss

__all__ = [
    "activate",
    "activate_grad",
    "adam_step",
    "add",
    "batch_statistics",
    "batchnorm",
    "batchnorm_grad",
    "best_overlap",
    "bias",
    "concat",
    "conv2d",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "ema_step",
    "gaussian_yolo_loss",
    "maxpool",
    "maxpool_grad",
    "multiply",
    "nms",
    "sgd_step",
    "upsample",
    "upsample_grad",
    "yolo",
    "yolo_loss",
]
