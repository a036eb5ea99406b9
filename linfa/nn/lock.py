"""One run at a time in a folder: a lock that ends with the process that holds it, however that ends.

The operating system locks a file in the folder, and lets go of it when the process is gone: after a kill there is
nothing to clear up, and no number of a process that another one has got since can be mistaken for its holder. The file
says who holds it, for the message to whoever else comes.
"""

import errno
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

NAME = "run.lock"
# Windows keeps others from reading the bytes that are locked, so they lie behind what the file says.
_BEHIND = 4096
# What a file system answers that knows no locks.
_WITHOUT = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold an existing folder against all other runs, those of this process too.

    Raises
    ------
    BlockingIOError
        If another run holds it.
    OSError
        If the file of the lock cannot be made.

    Warns
    -----
    UserWarning
        If the file system knows no locks: nothing keeps another run away then.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with held(Path(folder)):
    ...         print([path.name for path in Path(folder).iterdir()])
    ...     print(list(Path(folder).iterdir()))
    ['run.lock']
    []
    """
    path = folder / NAME
    number = _locked(path)
    try:
        # For others to read; on a full disk the lock holds without it.
        with suppress(OSError):
            os.truncate(number, 0)
            os.write(number, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        # While it is held: afterwards it could be the file of the next one. Windows removes no file that is open.
        with suppress(OSError):
            path.unlink()
        os.close(number)


def _locked(path: Path) -> int:
    """Descriptor of the file that `path` names, locked."""
    while True:
        number = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(number, path)
        except BaseException:
            os.close(number)
            raise
        # Its holder may have removed it between the two: a lock on what no path names keeps nobody out.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(number), path.stat()):
                return number
        os.close(number)


def _lock(number: int, path: Path) -> None:
    try:
        if fcntl is not None:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            os.lseek(number, _BEHIND, os.SEEK_SET)
            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
            os.lseek(number, 0, os.SEEK_SET)
    except OSError as error:
        if error.errno in _WITHOUT:
            warnings.warn(
                f"the file system of {path.parent} knows no locks; see to it that no other run writes there",
                UserWarning,
                stacklevel=2,
            )
            return
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        raise BlockingIOError(
            errno.EAGAIN,
            f"another run ({_holder(number)}) writes to this folder; wait for it, stop it, or choose another folder",
            str(path.parent),
        ) from error


def _holder(number: int) -> str:
    os.lseek(number, 0, os.SEEK_SET)
    # Between locking and writing it is empty.
    return os.read(number, _BEHIND).decode(errors="replace") or "one that has just begun"
