"""Several numbers at once: a Numba type for what a vector register of 32 bytes holds, 4 doubles or 8 singles.

Compilers vectorise plain loops over four networks side by side badly, or not at all; kernels that say what they mean
run at the speed of a good matrix product even for matrices of 8 × 8. On processors with other registers the same code
runs in halves or pairs. Every operation is exact in the sense of IEEE 754, a fused one included, and none is reordered,
so that a number does not depend on what stands beside it in the register.
"""

import operator

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

REGISTER_BYTES = 32
_BITS = {"float64": 64, "float32": 32}


class Vector(types.Type):
    """`count` numbers of one kind."""

    def __init__(self, element: types.Float) -> None:
        self.element = element
        self.count = 8 * REGISTER_BYTES // _BITS[str(element)]
        super().__init__(f"Vector({element} x {self.count})")

    @property
    def suffix(self) -> str:
        """As LLVM calls this type in the names of its intrinsic functions."""
        return f"v{self.count}f{_BITS[str(self.element)]}"


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: object, kind: Vector) -> None:
        element = ir.DoubleType() if str(kind.element) == "float64" else ir.FloatType()
        super().__init__(manager, kind, ir.VectorType(element, kind.count))


class Address(types.Type):
    """Where in memory numbers of one kind stand. Whoever holds one must see to it that their array lives on."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        super().__init__(f"Address({dtype})")


@register_model(Address)
class _AddressModel(models.PrimitiveModel):
    def __init__(self, manager: object, kind: Address) -> None:
        element = ir.DoubleType() if str(kind.dtype) == "float64" else ir.FloatType()
        super().__init__(manager, kind, element.as_pointer())


def _data(context, builder, kind, value):
    return value if isinstance(kind, Address) else context.make_array(kind)(context, builder, value).data


def _pointer(context, builder, kind, value, index):
    register = context.get_value_type(Vector(kind.dtype))
    return builder.bitcast(builder.gep(_data(context, builder, kind, value), [index]), register.as_pointer())


def _alignment(kind: types.Array | Address) -> int:
    return _BITS[str(kind.dtype)] // 8


@intrinsic
def width(typing, array):
    """How many entries of such an array a register holds: a constant to the compiler."""

    def generate(context, builder, signature, arguments):
        return context.get_constant(types.intp, Vector(signature.args[0].dtype).count)

    return types.intp(array), generate


@intrinsic
def address(typing, array, index):
    """Where the entry `index` of a contiguous array, counted through all its axes, stands."""

    def generate(context, builder, signature, arguments):
        return builder.gep(_data(context, builder, signature.args[0], arguments[0]), [arguments[1]])

    return Address(array.dtype)(array, types.intp), generate


@intrinsic
def load(typing, array, index):
    """The entries from `index` on of a contiguous array, counted through all its axes, or behind an address."""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature.args[0], *arguments)
        return builder.load(pointer, align=_alignment(signature.args[0]))

    return Vector(array.dtype)(array, types.intp), generate


@intrinsic
def store(typing, array, index, vector):
    """Write a register to the entries from `index` on."""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature.args[0], *arguments[:2])
        builder.store(arguments[2], pointer, align=_alignment(signature.args[0]))
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def entry_at(typing, array, index):
    """One number, without a look at whether the index is negative."""

    def generate(context, builder, signature, arguments):
        return builder.load(builder.gep(_data(context, builder, signature.args[0], arguments[0]), [arguments[1]]))

    return array.dtype(array, types.intp), generate


@intrinsic
def set_entry(typing, array, index, value):
    """array[index] = value, likewise."""

    def generate(context, builder, signature, arguments):
        builder.store(
            arguments[2], builder.gep(_data(context, builder, signature.args[0], arguments[0]), [arguments[1]])
        )
        return context.get_dummy_value()

    return types.void(array, types.intp, array.dtype), generate


@intrinsic
def spread_out(typing, array, value):
    """A number, in the precision of `array`, in every place of a register; a register as it is."""
    if isinstance(value, Vector):
        return value(array, value), lambda context, builder, signature, arguments: arguments[1]
    kind = Vector(array.dtype)

    def generate(context, builder, signature, arguments):
        number = context.cast(builder, arguments[1], signature.args[1], kind.element)
        register = context.get_value_type(kind)
        first = builder.insert_element(ir.Constant(register, ir.Undefined), number, ir.IntType(32)(0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
        return builder.shuffle_vector(first, first, mask)

    return kind(array, value), generate


@intrinsic
def fused(typing, a, b, c):
    """a b + c, rounded once."""

    def generate(context, builder, signature, arguments):
        register = context.get_value_type(signature.return_type)
        kind = ir.FunctionType(register, [register] * 3)
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.{signature.return_type.suffix}")
        return builder.call(function, arguments)

    return a(a, a, a), generate


@intrinsic
def magnitude(typing, a):
    """|a|."""

    def generate(context, builder, signature, arguments):
        register = context.get_value_type(signature.return_type)
        kind = ir.FunctionType(register, [register])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fabs.{signature.return_type.suffix}")
        return builder.call(function, arguments)

    return a(a), generate


@intrinsic
def negative(typing, a):
    """−a, of a register or a number."""
    return a(a), lambda context, builder, signature, arguments: builder.fneg(arguments[0])


@intrinsic
def larger(typing, a, b):
    """The larger of two numbers; b where one is not a number."""

    def generate(context, builder, signature, arguments):
        a, b = arguments
        return builder.select(builder.fcmp_ordered(">", a, b), a, b)

    return a(a, a), generate


@intrinsic
def choose(typing, condition, a, b):
    """a where the condition is not zero, else b."""

    def generate(context, builder, signature, arguments):
        condition, a, b = arguments
        zero = ir.Constant(condition.type, [0.0] * condition.type.count)
        return builder.select(builder.fcmp_unordered("!=", condition, zero), a, b)

    return a(a, a, a), generate


@intrinsic
def signed(typing, a, b):
    """a times the sign of b, which is 0 for zero and not a number for what is none."""

    def generate(context, builder, signature, arguments):
        a, b = arguments
        zero = ir.Constant(a.type, [0.0] * a.type.count)
        falling = builder.select(builder.fcmp_ordered("<", b, zero), builder.fneg(a), builder.fmul(a, b))
        return builder.select(builder.fcmp_ordered(">", b, zero), a, falling)

    return a(a, a), generate


def _arithmetic(function: object, instruction: str) -> None:
    class Template(AbstractTemplate):
        def generic(self, arguments, keywords):
            a, *others = arguments
            if isinstance(a, Vector) and all(other == a for other in others) and not keywords:
                return signature(a, *arguments)
            return None

    infer_global(function)(Template)

    @lower_builtin(function, Vector, Vector)
    def lower(context, builder, signature, arguments):
        return getattr(builder, instruction)(*arguments)


for _function, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _arithmetic(_function, _instruction)


@intrinsic
def stands_alone(typing):
    """Have the function that says this compiled once, and called, instead of copied into all that call it."""

    def generate(context, builder, signature, arguments):
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def fetch_and_add(typing, counter, amount):
    """Add to counter[0] and return what it was before, whole, whatever other threads do at the same moment."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", data, arguments[1], "monotonic")

    return types.int64(counter, types.int64), generate
