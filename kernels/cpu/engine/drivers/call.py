"""What drivers use beside plain Python: calls by address, atomic counters, single numbers."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

INT = ir.IntType(64)
FLOAT = ir.FloatType()


@intrinsic
def call(typing, address, *args):
    """Call the code at an address with int64 arguments; it returns nothing."""

    def generate(context, builder, signature, values):
        numbers = [values[0]]
        for kind, value in zip(signature.args[1:], values[1:], strict=True):
            if isinstance(kind, types.BaseTuple):
                numbers += [builder.extract_value(value, i) for i in range(len(kind))]
            else:
                numbers.append(value)
        function = ir.FunctionType(ir.VoidType(), [INT] * (len(numbers) - 1))
        builder.call(builder.inttoptr(numbers[0], function.as_pointer()), numbers[1:])
        return context.get_dummy_value()

    tuples = args if args and isinstance(args[0], types.BaseTuple) else (types.Tuple(args),)
    count = len(tuples[0])
    return types.void(types.int64, types.UniTuple(types.int64, count)), generate


@intrinsic
def fetch_add(typing, address, value):
    """Add to the int64 at an address, undivided; return what it was."""

    def generate(context, builder, signature, values):
        pointer = builder.inttoptr(values[0], INT.as_pointer())
        return builder.atomic_rmw("add", pointer, values[1], "acq_rel")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def compare_exchange(typing, address, old, new):
    """Write new to an address if the int64 there is old, undivided; return whether it was."""

    def generate(context, builder, signature, values):
        pointer = builder.inttoptr(values[0], INT.as_pointer())
        result = builder.cmpxchg(pointer, values[1], values[2], "acq_rel", "acquire")
        return builder.extract_value(result, 1)

    return types.boolean(types.int64, types.int64, types.int64), generate


@intrinsic
def load_acquire(typing, address):
    """Return the int64 at an address, and see all that was written before it."""

    def generate(context, builder, signature, values):
        return builder.load_atomic(builder.inttoptr(values[0], INT.as_pointer()), "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def store_release(typing, address, value):
    """Write the int64 at an address, after all that was written before it."""

    def generate(context, builder, signature, values):
        pointer = builder.inttoptr(values[0], INT.as_pointer())
        builder.store_atomic(values[1], pointer, "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def word(typing, address):
    """Return the int64 at an address."""

    def generate(context, builder, signature, values):
        return builder.load(builder.inttoptr(values[0], INT.as_pointer()))

    return types.int64(types.int64), generate


@intrinsic
def put(typing, address, value):
    """Write an int64 to an address."""

    def generate(context, builder, signature, values):
        builder.store(values[1], builder.inttoptr(values[0], INT.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def byte(typing, address):
    """Return the uint8 at an address."""

    def generate(context, builder, signature, values):
        found = builder.load(builder.inttoptr(values[0], ir.IntType(8).as_pointer()))
        return builder.zext(found, INT)

    return types.int64(types.int64), generate


@intrinsic
def load(typing, address):
    """Return the float32 at an address."""

    def generate(context, builder, signature, values):
        return builder.load(builder.inttoptr(values[0], FLOAT.as_pointer()))

    return types.float32(types.int64), generate


@intrinsic
def store(typing, address, value):
    """Write a float32 to an address."""

    def generate(context, builder, signature, values):
        builder.store(values[1], builder.inttoptr(values[0], FLOAT.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.float32), generate


@intrinsic
def root(typing, value):
    """Return the square root of a float64, in one instruction."""

    def generate(context, builder, signature, values):
        kind = ir.DoubleType()
        function = builder.module.globals.get("llvm.sqrt.f64")
        if function is None:
            signature = ir.FunctionType(kind, [kind])
            function = ir.Function(builder.module, signature, "llvm.sqrt.f64")
        return builder.call(function, values)

    return types.float64(types.float64), generate


@intrinsic
def pause(typing):
    """Tell the processor that this thread waits in a loop, where it has a word for that."""

    def generate(context, builder, signature, values):
        triple = builder.module.triple
        if triple.startswith(("x86", "i386", "i686", "amd64")):
            name, numbers = "llvm.x86.sse2.pause", []
        elif triple.startswith(("aarch64", "arm64")):
            name, numbers = "llvm.aarch64.isb", [ir.Constant(ir.IntType(32), 15)]
        else:
            return context.get_dummy_value()
        kinds = [one.type for one in numbers]
        function = builder.module.globals.get(name) or ir.Function(
            builder.module, ir.FunctionType(ir.VoidType(), kinds), name
        )
        builder.call(function, numbers)
        return context.get_dummy_value()

    return types.void(), generate
