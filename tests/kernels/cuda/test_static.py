"""What kernels are on real devices: they compile, spill nothing, and use the instructions meant.

No device is needed. `INSTANCES` has, for each source of kernels/cuda, some of its instances as ops
launch them; a source without any fails.
"""

from dataclasses import dataclass, field

import pytest

from darkpy.kernels.cuda import sources
from darkpy.kernels.cuda.convolve import HOPPER_TILES, TILES, Tile
from tests.nvrtc import Compiled, compiled, missing

REGISTERS = 65536  # of a processor; a block that needs more does not start
SPILLED = {"sm_75": 8}  # bytes allowed: of products that are made of several there
FIRST = "sm_90a"  # the others are slow
ALL = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90a", "sm_100", "sm_120")


@dataclass(frozen=True)
class Instance:
    """An instance of a kernel.

    name     as in `Launch`
    threads  of its blocks
    wide     all of its loads and stores are of 16 bytes
    opcodes  how many instructions of each there are, from sm_80 on
    uses     opcodes of which there are some, from sm_80 on
    loop     instructions of a step of products at most, from sm_80 on
    """

    name: str
    threads: int = 256
    wide: bool = False
    opcodes: dict[str, int] = field(default_factory=dict)
    uses: tuple[str, ...] = ()
    loop: int = 0

    def check(self, found: Compiled, architecture: str) -> None:
        """Fail if a compiled kernel is not what was meant."""
        allowed = SPILLED.get(architecture, 0)
        assert found.spilled <= allowed
        assert found.stack <= allowed, "an array lies in local memory"
        assert self.threads <= found.threads, "more threads than __launch_bounds__ says"
        assert self.threads * found.registers <= REGISTERS
        if self.wide:
            for opcode in ("LDG", "STG"):
                assert found.count(opcode) == found.count(f"{opcode}.E.128") > 0
        if architecture != "sm_75":
            assert {opcode: found.count(opcode) for opcode in self.opcodes} == self.opcodes
            assert all(found.count(opcode) for opcode in self.uses)
            assert not self.loop or 0 < found.loop <= self.loop


def wide(*names: str, threads: int = 256) -> tuple[Instance, ...]:
    return tuple(Instance(name, threads, wide=True) for name in names)


def plain(*names: str, threads: int = 256) -> tuple[Instance, ...]:
    return tuple(Instance(name, threads) for name in names)


def convolution(policy: str, types: str, tile: Tile, passes: int = 1) -> Instance:
    """Return an instance of convolve.cu: every fragment is loaded once, and used by all others.

    passes  products of the tensor cores for one

    A step of the largest tile issues for half as long as its products take.
    """
    rows, columns = tile.warp_pixels // 16, tile.warp_filters // 8
    return Instance(
        f"convolve<{policy}, {types}, {tile.name}>",
        tile.threads,
        opcodes={"HMMA": 2 * rows * columns * passes, "LDSM": 2 * (rows + columns // 2)},
        uses=("LDGSTS.E.BYPASS.128", "LDG.E.128", "STG.E.128"),
        loop=200 if tile == TILES[0] else 0,
    )


def warpgroups(policy: str, types: str, tile: Tile) -> Instance:
    """Return an instance of convolve_wgmma.cu: four products a step, one fence, two waits."""
    return Instance(
        f"convolve_wgmma<{policy}, {types}, {tile.name}>",
        tile.threads,
        opcodes={
            "HGMMA": 4,
            f"HGMMA.64x{tile.filters}x16.F32": 4,
            "FENCE.VIEW.ASYNC": 1,
            "WARPGROUP.DEPBAR": 2,
            "HMMA": 0,
        },
        uses=("LDGSTS.E.BYPASS.128", "LDG.E.128", "STG.E.128"),
        loop=160 + tile.filters // 2,
    )


INSTANCES = {
    "accumulate.cu": plain("accumulate"),
    "activate.cu": wide(
        "activate<half, activation::mish>",
        "activate<float, activation::logistic>",
        "activate_grad<float, activation::leaky>",
        "activate_grad<__nv_bfloat16, activation::mish>",
    ),
    "add.cu": wide(
        "add<float, activation::leaky, 3>",
        "add<half, activation::linear, 2>",
        "add<__nv_bfloat16, activation::linear, 4>",
    ),
    "batchnorm.cu": plain(
        "batchnorm<half, activation::mish>",
        "batchnorm<float, activation::leaky>",
        "batchnorm_pool<half, activation::mish>",
        "batchnorm_pool<__nv_bfloat16, activation::leaky>",
        "batchnorm_sums<half, activation::mish, true>",
        "batchnorm_sums<float, activation::leaky, false>",
        "batchnorm_grad<half, activation::mish, true>",
        "batchnorm_grad<float, activation::leaky, false>",
        "batch_statistics<half>",
        "finish_statistics",
        "roll_averages",
    ),
    "best_overlap.cu": plain("best_overlap"),
    "bias.cu": plain("bias<half>", "bias<float>", "bias_grad<half>", "bias_grad<float>"),
    "binary.cu": plain("binarize_weights", "blur_kernel"),
    "convolve.cu": (
        *(convolution("Fp16", "half, activation::leaky", tile) for tile in TILES),
        convolution("Fp16", "float, activation::linear", TILES[0]),
        convolution("Bf16", "__nv_bfloat16, activation::mish", TILES[4]),
        convolution("Tf32", "float, activation::swish", TILES[5]),
        convolution("Fp32", "float, activation::leaky", TILES[5], passes=3),
    ),
    "convolve_wgmma.cu": (
        *(warpgroups("Fp16", "half, activation::leaky", tile) for tile in HOPPER_TILES),
        warpgroups("Fp16", "float, activation::linear", HOPPER_TILES[0]),
        warpgroups("Bf16", "__nv_bfloat16, activation::mish", HOPPER_TILES[1]),
    ),
    "cost_loss.cu": plain(
        "vector_loss<CrossEntropy>",
        "vector_loss<Squared>",
        "vector_loss<Masked>",
        "vector_loss<Smooth>",
    ),
    "crop.cu": plain("crop<half>", "crop<float>", "crop_grad<half>", "crop_grad<float>"),
    "decode.cu": plain(
        "find_boxes<YoloBoxes, BY_CHANNEL, Yolo>",
        "find_boxes<NewYoloBoxes, BY_CHANNEL, Given>",
        "find_boxes<GaussianYoloBoxes, BY_CHANNEL, GaussianYolo>",
        "find_boxes<RegionBoxes, BY_BOX, Given>",
        "find_boxes<RegionTreeBoxes, BY_BOX, Given>",
        "find_boxes<DetectionBoxes, BY_PART, Given>",
        "suppress_boxes",
    ),
    "depthwise.cu": (
        *plain("pack_taps"),
        *plain("depthwise_weight_grad<float, 1>", "depthwise_weight_grad<half, 5>"),
        *plain(
            "depthwise<float, float, activation::logistic, NONE, 0, 0>",
            "depthwise<half, half, activation::leaky, BEFORE, 3, 1>",
            "depthwise<__nv_bfloat16, __nv_bfloat16, activation::mish, AFTER, 5, 2>",
            threads=128,
        ),
        *wide(
            "depthwise_input_grad<float, 3, 1>",
            "depthwise_input_grad<half, 5, 2>",
            threads=128,
        ),
    ),
    "detection_loss.cu": plain("detection_loss", threads=128),
    "dropout.cu": (
        *plain(
            "dropout_mask<half>",
            "dropout_mask<float>",
            "drop_squares<half>",
            "drop_squares<float>",
            "rescale<half>",
            "rescale<float>",
        ),
        *plain("next_step", threads=1),
    ),
    "grouped.cu": (
        *plain("pack_bands<half, false>", "pack_bands<float, true>"),
        *plain("grouped_weight_grad<half>", "sum_bands<half>"),
        *plain(
            "grouped<half, float, activation::leaky, BEFORE, false>",
            "grouped<float, float, activation::linear, NONE, true>",
            threads=128,
        ),
    ),
    "layout.cu": (
        *wide("convert<half, float>", "convert<float, half>", "convert<half, __nv_bfloat16>"),
        *plain("move_channels<half>", "to_map<half, 8>", "to_map<float, 32>"),
        *plain("to_planar<half, 8>", "to_planar<float, 32>"),
    ),
    "linear.cu": (
        *plain(
            "linear<half, float, activation::logistic, 1>",
            "linear<float, float, activation::linear, 4>",
            threads=128,
        ),
        *plain("linear_input_grad<half, 4>", "linear_input_grad<float, 1>"),
    ),
    "local.cu": plain(
        "local<half, half>",
        "local_seen_grad<half>",
        "local_input_grad<half>",
        "local_weight_grad<half>",
        "local_bias_grad<half>",
    ),
    "lrn.cu": plain(
        "lrn<half>",
        "lrn<float>",
        "lrn_parts<half>",
        "lrn_parts<float>",
        "lrn_grad<half>",
        "lrn_grad<float>",
    ),
    "multiply.cu": plain(
        "multiply<half, activation::linear>",
        "multiply<float, activation::linear>",
        "sum_over_cells<float>",
        "sum_over_channels<half>",
        "sum_over_channels<float>",
    ),
    "nms.cu": plain("nms"),
    "optimizer.cu": (
        *plain("step<Sgd, false>", "step<Adam, true>", "follow", "check_finite"),
        *plain("centre", threads=128),
    ),
    "pack.cu": plain("pack<half>", "pack<float>", "pack_many<half>"),
    "partials.cu": plain("sum_partials"),
    "pool.cu": (
        *wide("maxpool<half, 2>", "maxpool<float, 3>", "maxpool<half, 0>", "maxpool_grad<half>"),
        *wide("keep_equal<half>", "avgpool_grad<half>", "local_avgpool<float, 0>"),
        *wide("local_avgpool_grad<half>", "find_owners<half, 2>"),
        *plain("avgpool<half>", "maxpool_depth<half>", "maxpool_depth_grad<half>"),
    ),
    "rejection.cu": plain(
        "measure_deltas<1>", "measure_deltas<4>", "reject_deltas<1>", "reject_deltas<4>"
    ),
    "region_loss.cu": plain("give_truths", "region_loss", threads=128),
    "reorg.cu": plain(
        "reorg<half, true>",
        "reorg<float, false>",
        "space_to_depth<half>",
        "space_to_depth<float>",
        "depth_to_space<half>",
        "depth_to_space<float>",
    ),
    "repeat.cu": plain("repeat_grad<half>", "repeat_grad<float>"),
    "resize_picture.cu": plain(
        "resize_picture<half, 3, 3>", "resize_picture<float, 1, 3>", "resize_planes<3, 3>"
    ),
    "shares.cu": plain(
        "shares<half, parts::normalize_channels_softmax_maxval>",
        "shares<float, parts::normalize_channels>",
        "shares_grad<half, parts::normalize_channels_softmax_maxval>",
        "shares_grad<float, parts::normalize_channels>",
        "planar_shares<parts::normalize_channels>",
        "planar_shares_grad<parts::normalize_channels>",
    ),
    "shortcut.cu": plain(
        "shortcut<half, activation::linear, 2>",
        "add_weighted<half>",
        "spread<half>",
        "sum_met<half>",
        "sum_vector",
        "spread_weighted<half>",
    ),
    "simple.cu": plain("signs<half>", "signs<float>", "fill_zeros<half>", "fill_zeros<float>"),
    "softmax.cu": (
        *plain("softmax<half>", "softmax<float>", "softmax_grad<half>", "softmax_grad<float>"),
        *plain("softmax_runs<float>", "softmax_runs_grad<float>", threads=32),
    ),
    "spp.cu": plain("spp<half, 1>", "spp<float, 3>"),
    "upsample.cu": wide("upsample<half>", "upsample<float>", "upsample_grad<__nv_bfloat16>"),
    "weight_grad.cu": (
        Instance("weight_grad<Fp16, 128, 128>", opcodes={"HMMA": 32, "LDSM": 12, "LDGSTS": 12}),
        Instance("weight_grad<Bf16, 64, 64>", 128, opcodes={"HMMA": 16, "LDSM": 8, "LDGSTS": 12}),
        Instance("weight_grad<Fp32, 32, 64>", 128, opcodes={"HMMA": 24, "LDGSTS": 9}),
        Instance("weight_grad<Tf32, 64, 64>", 128, opcodes={"HMMA": 16, "LDGSTS": 12}),
    ),
    "yolo.cu": plain(
        "head<Yolo, half>",
        "head<GaussianYolo, float>",
        "head_planes<Yolo, float>",
        "region<half, float>",
        "region_inverse<float, float>",
    ),
    "yolo_loss.cu": plain(
        "yolo_loss<Yolo>", "yolo_loss<GaussianYolo>", "place_truths", threads=128
    ),
}
ARCHITECTURES = {"convolve_wgmma.cu": ("sm_90a",)}  # others are for all


def test_every_source_has_an_instance():
    assert {path.name for path in sources.HERE.glob("*.cu")} == INSTANCES.keys()


def test_lines_are_no_longer_than_pythons():
    for path in (*sources.HERE.glob("*.cu"), *sources.HERE.glob("*.cuh")):
        lines = enumerate(path.read_text("utf-8").splitlines(), 1)
        assert not [f"{path.name}:{at}" for at, line in lines if len(line) > 100]


@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.parametrize(
    ("file", "architecture"),
    [
        pytest.param(file, one, marks=[] if one == FIRST else pytest.mark.slow)
        for file in INSTANCES
        for one in ARCHITECTURES.get(file, ALL)
    ],
)
def test_compiles_as_meant(file, architecture):
    kernels = compiled(sources.source(file), [one.name for one in INSTANCES[file]], architecture)
    for one in INSTANCES[file]:
        one.check(kernels[one.name], architecture)
