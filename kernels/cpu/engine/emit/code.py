"""Write a function of vector code: sixteen float32 side by side, whatever the processor's width.

LLVM splits the vectors where registers are narrower, so the same lines serve AVX-512, AVX2 and
NEON. Addresses are integers, accumulators are values that loops carry, sums of products are
`llvm.fmuladd`: one instruction where there is one.
"""

from llvmlite import ir

from ..records import LANES

INT = ir.IntType(64)
HALF = ir.IntType(32)
FLOAT = ir.FloatType()
VECTOR = ir.VectorType(FLOAT, LANES)
INTS = ir.VectorType(HALF, LANES)
VOID = ir.VoidType()


class Vector:
    """Sixteen float32; arithmetic on it writes instructions."""

    __array_ufunc__ = None  # numpy's numbers leave arithmetic to it

    def __init__(self, code, value):
        self.code = code
        self.value = value

    def _with(self, name, other, turned=False):
        other = self.code.vector(other)
        a, b = (other, self) if turned else (self, other)
        return Vector(self.code, getattr(self.code.builder, name)(a.value, b.value))

    def __add__(self, other):
        return self._with("fadd", other)

    def __sub__(self, other):
        return self._with("fsub", other)

    def __mul__(self, other):
        return self._with("fmul", other)

    def __truediv__(self, other):
        return self._with("fdiv", other)

    def __radd__(self, other):
        return self._with("fadd", other)

    def __rsub__(self, other):
        return self._with("fsub", other, turned=True)

    def __rmul__(self, other):
        return self._with("fmul", other)

    def __rtruediv__(self, other):
        return self._with("fdiv", other, turned=True)

    def __neg__(self):
        return Vector(self.code, self.code.builder.fneg(self.value))

    def __lt__(self, other):
        return self._compare("<", other)

    def __gt__(self, other):
        return self._compare(">", other)

    def __le__(self, other):
        return self._compare("<=", other)

    def __ge__(self, other):
        return self._compare(">=", other)

    def _compare(self, how, other):
        value = self.code.builder.fcmp_ordered(how, self.value, self.code.vector(other).value)
        return Mask(self.code, value)


class Mask:
    """Sixteen answers, yes or no."""

    def __init__(self, code, value):
        self.code = code
        self.value = value

    def __and__(self, other):
        return Mask(self.code, self.code.builder.and_(self.value, other.value))

    def __or__(self, other):
        return Mask(self.code, self.code.builder.or_(self.value, other.value))


class Code:
    """Writes ``void name(int64, ...)`` into a module.

    args  the arguments, as values; addresses and sizes are int64, sizes of memory in bytes
    """

    def __init__(self, module, name, count):
        signature = ir.FunctionType(VOID, [INT] * count)
        self.function = ir.Function(module, signature, name)
        self.function.attributes.add("nounwind")
        self.module = module
        self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.args = self.function.args

    def end(self):
        """Return from the function."""
        self.builder.ret_void()

    # integers -----------------------------------------------------------------------------

    def integer(self, value):
        """Return an int64, given one or a Python number."""
        return ir.Constant(INT, value) if isinstance(value, int) else value

    def add(self, a, b):
        """Return a + b of integers; nothing is written for numbers that are known."""
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        if isinstance(a, int) and a == 0:
            return b
        if isinstance(b, int) and b == 0:
            return a
        return self.builder.add(self.integer(a), self.integer(b))

    def mul(self, a, b):
        """Return a * b of integers; nothing is written for numbers that are known."""
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        for one, other in ((a, b), (b, a)):
            if isinstance(one, int) and one in (0, 1):
                return other if one else 0
        return self.builder.mul(self.integer(a), self.integer(b))

    # memory -------------------------------------------------------------------------------

    def pointer(self, address, kind):
        """Return a pointer to ``kind`` at an address."""
        return self.builder.inttoptr(self.integer(address), kind.as_pointer())

    def load(self, address, offset=0, align=64):
        """Return the Vector at address + offset."""
        value = self.builder.load(self.pointer(self.add(address, offset), VECTOR))
        value.align = align
        return Vector(self, value)

    def store(self, vector, address, offset=0, align=64, past=False):
        """Write a Vector to address + offset.

        past  leave the caches alone: what is much more than they hold is not read soon
        """
        where = self.pointer(self.add(address, offset), VECTOR)
        store = self.builder.store(vector.value, where)
        store.align = align
        if past:
            store.set_metadata("nontemporal", self.builder.module.add_metadata([HALF(1)]))

    def word(self, address, offset=0):
        """Return the int64 at address + offset."""
        return self.builder.load(self.pointer(self.add(address, offset), INT))

    def load_part(self, address, count, offset=0):
        """Return a Vector of ``count`` float32 at address + offset, and zeros; read no more."""
        if count == LANES:
            return self.load(address, offset, align=4)
        whole = self.vector(0.0)
        for start, size in pieces(count):
            kind = ir.VectorType(FLOAT, size)
            where = self.add(self.add(address, offset), 4 * start)
            value = self.builder.load(self.pointer(where, kind))
            value.align = 4
            empty = ir.Constant(kind, ir.Undefined)
            spread = [i % size for i in range(LANES)]
            wide = Vector(self, self.builder.shuffle_vector(value, empty, places(spread)))
            taken = [i - start + LANES if start <= i < start + size else i for i in range(LANES)]
            whole = self.shuffle(whole, wide, taken)
        return whole

    def store_part(self, vector, address, count, offset=0):
        """Write the first ``count`` lanes of a Vector to address + offset, and no more."""
        if count == LANES:
            self.store(vector, address, offset, align=4)
            return
        for start, size in pieces(count):
            where = self.add(self.add(address, offset), 4 * start)
            pointer = self.pointer(where, ir.VectorType(FLOAT, size))
            part = self.shuffle(vector, vector, range(start, start + size))
            self.builder.store(part.value, pointer).align = 4

    def spread(self, address, offset=0):
        """Return a Vector of the one float32 at address + offset."""
        value = self.builder.load(self.pointer(self.add(address, offset), FLOAT))
        value.align = 4
        return Vector(self, self._splat(value))

    def _splat(self, value):
        empty = ir.Constant(VECTOR, ir.Undefined)
        one = self.builder.insert_element(empty, value, ir.Constant(HALF, 0))
        return self.builder.shuffle_vector(one, empty, ir.Constant(INTS, [0] * LANES))

    def prefetch(self, address, offset=0, write=False, near=True):
        """Fetch the memory at address + offset, which may be nobody's, into the caches.

        write  to write there soon; not near: into the second cache, not the first
        """
        kinds = [ir.IntType(8).as_pointer(), HALF, HALF, HALF]
        function = self.module.globals.get("llvm.prefetch.p0")
        if function is None:
            signature = ir.FunctionType(VOID, kinds)
            function = ir.Function(self.module, signature, "llvm.prefetch.p0")
        where = self.pointer(self.add(address, offset), ir.IntType(8))
        how = (int(write), 3 if near else 2, 1)
        self.builder.call(function, [where, *(ir.Constant(HALF, n) for n in how)])

    def fence(self):
        """Keep loads and stores on their side of this place; it is no instruction."""
        self.builder.fence("acq_rel", "singlethread")

    def room(self, vectors):
        """Return the address of memory on the stack for so many Vectors."""
        with self.builder.goto_entry_block():
            memory = self.builder.alloca(VECTOR, size=ir.Constant(HALF, vectors))
            memory.align = 64
            return self.builder.ptrtoint(memory, INT)

    # vectors ------------------------------------------------------------------------------

    def shuffle(self, a, b, lanes):
        """Return a Vector of chosen lanes: i of a for i below sixteen, i - 16 of b beyond."""
        return Vector(self, self.builder.shuffle_vector(a.value, b.value, places(lanes)))

    def equal(self, a, b):
        """Return the Mask of lanes that are equal."""
        return a._compare("==", b)

    def vector(self, value):
        """Return a Vector, given one or a number for all sixteen."""
        if isinstance(value, Vector):
            return value
        return Vector(self, ir.Constant(VECTOR, [float(value)] * LANES))

    def fma(self, a, b, c):
        """Return a * b + c."""
        return self.call("llvm.fmuladd.v16f32", self.vector(a), self.vector(b), self.vector(c))

    def call(self, name, *vectors):
        """Return what an intrinsic of LLVM makes of Vectors."""
        function = self.module.globals.get(name)
        if function is None:
            signature = ir.FunctionType(VECTOR, [VECTOR] * len(vectors))
            function = ir.Function(self.module, signature, name)
        return Vector(self, self.builder.call(function, [one.value for one in vectors]))

    def where(self, mask, a, b):
        """Return a where the mask says yes, b elsewhere."""
        a, b = self.vector(a), self.vector(b)
        return Vector(self, self.builder.select(mask.value, a.value, b.value))

    def maximum(self, a, b):
        """Return the greater of each pair; b where one is not a number."""
        a, b = self.vector(a), self.vector(b)
        return self.where(a > b, a, b)

    def minimum(self, a, b):
        """Return the lesser of each pair; b where one is not a number."""
        a, b = self.vector(a), self.vector(b)
        return self.where(a < b, a, b)

    # loops --------------------------------------------------------------------------------

    def loop(self, count, carried, body):
        """Write ``for i in range(count): carried = body(i, *carried)``; return the last ones.

        count    at least 1, an int64 or a number
        carried  Vectors and integers, which ``body`` returns in the same order
        """
        builder = self.builder
        before = builder.block
        inside = builder.append_basic_block("loop")
        after = builder.append_basic_block("done")
        builder.branch(inside)
        builder.position_at_end(inside)
        index = builder.phi(INT)
        index.add_incoming(ir.Constant(INT, 0), before)
        phis = []
        for one in carried:
            raw = one.value if isinstance(one, Vector) else self.integer(one)
            phi = builder.phi(raw.type)
            phi.add_incoming(raw, before)
            phis.append(phi)
        wrapped = [
            Vector(self, phi) if isinstance(one, Vector) else phi
            for one, phi in zip(carried, phis, strict=True)
        ]
        results = body(index, *wrapped)
        following = builder.add(index, ir.Constant(INT, 1))
        index.add_incoming(following, builder.block)
        for phi, one in zip(phis, results, strict=True):
            raw = one.value if isinstance(one, Vector) else self.integer(one)
            phi.add_incoming(raw, builder.block)
        again = builder.icmp_signed("<", following, self.integer(count))
        builder.cbranch(again, inside, after)
        builder.position_at_end(after)
        return list(results)

    def repeat(self, count, carried, body):
        """Write what `loop` does for a count that may be 0."""
        builder = self.builder
        raw = [one.value if isinstance(one, Vector) else self.integer(one) for one in carried]
        before = builder.block
        some = builder.icmp_signed(">", self.integer(count), ir.Constant(INT, 0))
        with builder.if_then(some):
            results = self.loop(count, carried, body)
            ends = [one.value if isinstance(one, Vector) else self.integer(one) for one in results]
            inside = builder.block
        merged = []
        for one, first, last in zip(carried, raw, ends, strict=True):
            phi = builder.phi(first.type)
            phi.add_incoming(first, before)
            phi.add_incoming(last, inside)
            merged.append(Vector(self, phi) if isinstance(one, Vector) else phi)
        return merged


def places(lanes):
    """Return the constant that a shuffle takes: where each lane comes from."""
    lanes = list(lanes)
    return ir.Constant(ir.VectorType(HALF, len(lanes)), lanes)


def pieces(count):
    """Return (start, size) of runs of 8, 4, 2 and 1 lanes that make ``count`` lanes."""
    start = 0
    for size in (8, 4, 2, 1):
        if count & size:
            yield start, size
            start += size
