"""CIFAR's batches are pickles, and a pickle is a program; here it is read without running anything it could ask for.

Two gates. First the whole program is read, not run: it may hold only the operations of the published files, import
only what they import, and number its memo as it goes. Then `pickle.Unpickler` runs it with stand-ins for the four
things that it may import, so that nothing of NumPy's own unpickling, which trusts its input, is within reach: the
stand-ins take one array type, raw bytes whose number fits the shape, and cannot be altered.
"""

import math
import pickle
import pickletools
from io import BytesIO
from pathlib import Path

import numpy as np

# What Python 2 wrote into the published files, and what Python 3 writes when asked for the same protocol. GLOBAL alone
# imports, and what it imports is spelt out in the file.
_OPERATIONS = frozenset((
    "PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "SHORT_BINSTRING",
    "BINSTRING", "BINUNICODE", "EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_TUPLE",
    "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "GLOBAL", "REDUCE",
    "BUILD",
))  # fmt: skip
_RECONSTRUCT = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")
_IMPORTS = frozenset((*_RECONSTRUCT, "numpy ndarray", "numpy dtype", "_codecs encode"))
_PROTOCOL = 2
# The published files have about ten. Each may lie in another, and Python follows such a chain by recursion.
_CONTAINERS = 64
# The largest published file has 155 MB; the content is held in memory a few times over while it is read.
_LARGEST = 1 << 28


class _RefusedError(pickle.UnpicklingError):
    """What is wrong with a pickle; the message goes on after "it"."""


def read_batch(path: Path) -> dict[str, object]:
    """The dictionary that a CIFAR batch holds; pixels as uint8 arrays, everything else as Python's own types.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is empty, truncated, or a pickle of anything else; nothing it asks for has been
        imported or called by then.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; it is a part of the set")
    size = path.stat().st_size
    if size == 0:
        raise ValueError(f"{path} is empty; fetch it again")
    if size > _LARGEST:
        raise ValueError(f"{path} has {size / 1e6:.0f} MB; the largest batch that was ever published has 155 MB")
    program = path.read_bytes()
    try:
        _scan(program)
        content = _BatchUnpickler(program).load()
        if not isinstance(content, dict):
            raise _RefusedError(f"holds a {type(content).__name__}, not the dictionary that a batch is")
    except MemoryError:
        raise
    except _RefusedError as error:
        raise ValueError(f"{path} was not read: it {error}; fetch the published file again") from error
    except Exception as error:
        # A damaged pickle can fail in any way.
        raise ValueError(f"{path} is truncated or damaged ({error}); fetch it again") from error
    # Python 2 wrote names as bytes, Python 3 writes them as text.
    named = {k.decode("latin-1") if isinstance(k, bytes) else k: v for k, v in content.items()}
    return {k: v.array if isinstance(v, _Array) else v for k, v in named.items()}


def _scan(program: bytes) -> None:
    """Refuse a pickle that does more than the published files do; nothing of it is run."""
    end = containers = 0
    for number, (operation, argument, position) in enumerate(pickletools.genops(program)):
        name, end = operation.name, position + 1
        if name == "GLOBAL" and argument not in _IMPORTS:
            raise _RefusedError(f"wants to import {argument[:100]!r}, which no CIFAR batch does")
        if name == "PROTO" and argument != _PROTOCOL:
            raise _RefusedError(f"is a pickle of protocol {argument}; CIFAR's batches are of {_PROTOCOL}")
        if name not in _OPERATIONS:
            raise _RefusedError(f"has the operation {name} at byte {position}, which no CIFAR batch has")
        containers += name.startswith(("EMPTY_", "TUPLE"))
        if containers > _CONTAINERS:
            raise _RefusedError(f"holds more than {_CONTAINERS} lists and tuples, which no CIFAR batch does")
        # The unpickler makes room for every index below the one it is given: a huge one would take all memory.
        if name in ("BINPUT", "LONG_BINPUT") and argument > number:
            raise _RefusedError(f"stores object {argument} at byte {position}, before it has as many")
    if end != len(program):
        raise _RefusedError(f"goes on for {len(program) - end} bytes after its end")


class _BatchUnpickler(pickle.Unpickler):
    """The second gate, which does not rely on the first: what is imported is a stand-in."""

    def __init__(self, program: bytes) -> None:
        # Python 2's strings become bytes: the pixels are one of them.
        super().__init__(BytesIO(program), encoding="bytes")
        kind = _StandIn()
        self._admitted = {
            "numpy ndarray": kind,
            "numpy dtype": _ByteType(),
            "_codecs encode": _Encode(len(program)),
        } | dict.fromkeys(_RECONSTRUCT, _Reconstruct(kind))

    def find_class(self, module: str, name: str) -> object:
        """The stand-in for a name that CIFAR's batches import; anything else is refused."""
        try:
            return self._admitted[f"{module} {name}"]
        except KeyError:
            raise _RefusedError(f"wants to import {f'{module} {name}'!r}, which no CIFAR batch does") from None


class _StandIn:
    """An object that a pickle can hand around, but neither call nor alter."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise _RefusedError("alters what it imports, which no CIFAR batch does")


class _Reconstruct(_StandIn):
    """numpy._core.multiarray._reconstruct(ndarray, (0,), b"b"): an empty array, filled by what follows."""

    __slots__ = ("_kind",)

    def __init__(self, kind: _StandIn) -> None:
        self._kind = kind

    def __call__(self, kind: object, shape: object, code: object) -> "_Array":
        if kind is not self._kind or shape != (0,) or code != b"b":
            raise _RefusedError("makes an array in a way that no CIFAR batch does")
        return _Array()


class _Byte:
    """The type of a pixel. What a pickle adds to it, byte order and alignment, a byte has none of."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        pass


class _ByteType(_StandIn):
    """numpy.dtype, for bytes alone."""

    __slots__ = ()

    def __call__(self, code: object, *_: object) -> _Byte:
        if code not in (b"u1", "u1"):
            raise _RefusedError(f"holds an array of type {str(code)[:20]}; pixels are of type u1 (uint8)")
        return _Byte()


class _Encode(_StandIn):
    """_codecs.encode(text, "latin1"): how Python 3 writes bytes in an old protocol."""

    __slots__ = ("_left",)

    def __init__(self, left: int) -> None:
        self._left = left

    def __call__(self, text: object, encoding: object) -> bytes:
        if type(text) is not str or encoding != "latin1":
            raise _RefusedError("encodes text in a way that no CIFAR batch does")
        # Bytes written once take at least as much room in the file; the same ones, asked for again and again, need not.
        self._left -= len(text)
        if self._left < 0:
            raise _RefusedError("encodes more bytes than it holds")
        return text.encode("latin-1")


class _Array:
    """A uint8 array in the making."""

    __slots__ = ("array",)

    def __init__(self) -> None:
        self.array = np.empty(0, np.uint8)

    def __setstate__(self, state: object) -> None:
        _, shape, kind, column_major, raw = state
        if type(kind) is not _Byte or type(raw) is not bytes:
            raise _RefusedError("holds an array of something else than plain bytes")
        if type(shape) is not tuple or not all(type(n) is int and n >= 0 for n in shape):
            raise _RefusedError("holds an array without a proper shape")
        if math.prod(shape) != len(raw):
            raise _RefusedError(f"holds an array of shape {shape} with {len(raw)} pixels, which do not fit")
        self.array = np.frombuffer(raw, np.uint8).reshape(shape, order="F" if column_major else "C")
