"""A disk for SQLite that notes every write, sync, truncation and deletion, and can lose, tear or refuse them.

SQLite's own file layer is wrapped: the database under test runs unmodified, and what would be on the disk
after a power cut at any moment is put together from the notes. A write that was not followed by a sync may be
there, or not, or in part, in any order; a new file is there once it was synced.
"""

import _sqlite3
import ctypes
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

OK, FULL, IO_ERROR = 0, 13, 10
SECTOR = 512

_Pointer = ctypes.c_void_p
_WRITE = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, _Pointer, ctypes.c_int, ctypes.c_int64)
_TRUNCATE = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, ctypes.c_int64)
_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, ctypes.c_int)
_CLOSE = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer)
_OPEN = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, _Pointer, _Pointer, ctypes.c_int, _Pointer)
_DELETE = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, _Pointer, ctypes.c_int)
# sqlite3_io_methods and sqlite3_vfs (after its head), versions 1 to 3.
_METHODS = tuple(
    f"x{name}"
    for name in (
        "Close", "Read", "Write", "Truncate", "Sync", "FileSize", "Lock", "Unlock", "CheckReservedLock",
        "FileControl", "SectorSize", "DeviceCharacteristics", "ShmMap", "ShmLock", "ShmBarrier", "ShmUnmap",
        "Fetch", "Unfetch",
    )
)  # fmt: skip
_CALLS = tuple(
    f"x{name}"
    for name in (
        "Open", "Delete", "Access", "FullPathname", "DlOpen", "DlError", "DlSym", "DlClose", "Randomness",
        "Sleep", "CurrentTime", "GetLastError", "CurrentTimeInt64", "SetSystemCall", "GetSystemCall",
        "NextSystemCall",
    )
)  # fmt: skip


class _Methods(ctypes.Structure):
    _fields_ = (("iVersion", ctypes.c_int), *((name, _Pointer) for name in _METHODS))


class _File(ctypes.Structure):
    _fields_ = (("pMethods", ctypes.POINTER(_Methods)),)


class _Vfs(ctypes.Structure):
    _fields_ = (
        ("iVersion", ctypes.c_int),
        ("szOsFile", ctypes.c_int),
        ("mxPathname", ctypes.c_int),
        ("pNext", _Pointer),
        ("zName", ctypes.c_char_p),
        ("pAppData", _Pointer),
        *((name, _Pointer) for name in _CALLS),
    )


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done to a file; a deletion is durable if its directory was synced."""

    what: Literal["write", "truncate", "sync", "delete"]
    name: str
    offset: int = 0
    content: bytes = b""
    is_durable: bool = False


@dataclass
class FaultyDisk:
    """What happened on the disk so far, and how much it takes.

    Attributes
    ----------
    steps : list of Step
    capacity_bytes : int or None
        Largest sum of file sizes; a write beyond it is refused as by a full disk.
    broken : bool
        Whether every write and sync fails.
    """

    folder: Path
    steps: list[Step] = field(default_factory=list[Step])
    capacity_bytes: int | None = None
    broken: bool = False
    _ends: dict[str, int] = field(default_factory=dict[str, int])

    def answer(self, step: Step) -> int:
        """Note a step, if the disk does it; return SQLite's code for what came of it."""
        if self.broken and step.what in ("write", "sync"):
            return IO_ERROR
        end = step.offset + len(step.content)
        if step.what == "write":
            others = sum(size for name, size in self._ends.items() if name != step.name)
            grown = max(self._ends.get(step.name, 0), end)
            is_grown = grown > self._ends.get(step.name, 0)
            if self.capacity_bytes is not None and is_grown and others + grown > self.capacity_bytes:
                return FULL
            self._ends[step.name] = grown
        elif step.what == "truncate":
            self._ends[step.name] = step.offset
        elif step.what == "delete":
            self._ends.pop(step.name, None)
        self.steps.append(step)
        return OK


def image(
    steps: list[Step], target: Path, *, kept: Callable[[], bool], torn: np.random.Generator | None = None
) -> None:
    """Make in `target` what a power cut after `steps` leaves.

    Parameters
    ----------
    steps : list of Step
    target : Path
        An empty directory.
    kept : callable
        Asked of every write that no sync follows: whether it reached the disk.
    torn : Generator, optional
        Of the newest write, only some sectors reached the disk.
    """
    synced = {step.name: number for number, step in enumerate(steps) if step.what == "sync"}
    folder_synced = _folder_synced(steps)
    files: dict[str, bytearray] = {}
    for number, step in enumerate(steps):
        is_synced = number < synced.get(step.name, -1)
        if step.what == "delete":
            if step.is_durable or number < folder_synced or kept():
                files.pop(step.name, None)
        elif step.what in ("write", "truncate") and (is_synced or kept()):
            is_torn = torn is not None and number == len(steps) - 1
            _apply(files.setdefault(step.name, bytearray()), step, torn if is_torn else None)
    for name, content in files.items():
        if not name.endswith("-shm") and (name in synced or kept()):
            (target / name).write_bytes(content)


def _folder_synced(steps: list[Step]) -> int:
    """Return when the directory was last synced, which SQLite does with the first sync of a new log."""
    newest, known = -1, set[str]()
    for number, step in enumerate(steps):
        if step.what == "delete":
            known.discard(step.name)
        elif step.what == "sync" and step.name not in known:
            known.add(step.name)
            if step.name.endswith(("-wal", "-journal")):
                newest = number
    return newest


def _apply(content: bytearray, step: Step, torn: np.random.Generator | None) -> None:
    if step.what == "truncate":
        del content[step.offset :]
        return
    for begin in range(0, len(step.content), SECTOR):
        if torn is None or torn.random() < 0.5:
            piece = step.content[begin : begin + SECTOR]
            at = step.offset + begin
            content.extend(bytes(max(0, at + len(piece) - len(content))))
            content[at : at + len(piece)] = piece


@contextmanager
def faulty_disk(folder: Path) -> Generator[FaultyDisk]:
    """Let SQLite use a `FaultyDisk` for all files that are opened meanwhile; those in `folder` are noted."""
    sqlite = _library()
    original = sqlite.sqlite3_vfs_find(None)
    disk = FaultyDisk(folder)
    wrapped = _Wrapped(original.contents, disk)
    if sqlite.sqlite3_vfs_register(ctypes.byref(wrapped.vfs), 1) != OK:
        raise OSError("SQLite did not take the wrapped file layer")
    try:
        yield disk
    finally:
        sqlite.sqlite3_vfs_register(original, 1)
        sqlite.sqlite3_vfs_unregister(ctypes.byref(wrapped.vfs))
        _still_used.append(wrapped)


_still_used: list["_Wrapped"] = []
"""Files that were left open, as by a killed process, keep calling until the interpreter ends."""


def _library() -> Any:
    sqlite = ctypes.CDLL(_sqlite3.__file__)
    sqlite.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
    sqlite.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    sqlite.sqlite3_vfs_register.argtypes = [_Pointer, ctypes.c_int]
    sqlite.sqlite3_vfs_unregister.argtypes = [_Pointer]
    return sqlite


def is_available() -> bool:
    """Whether the functions of Python's SQLite can be reached from here."""
    try:
        return bool(_library().sqlite3_vfs_find(None))
    except (OSError, AttributeError):
        return False


class _Wrapped:
    """SQLite's file layer, its writes seen by a disk first."""

    def __init__(self, original: _Vfs, disk: FaultyDisk) -> None:
        self._disk = disk
        self._names: dict[int, str] = {}
        self._open = _OPEN(original.xOpen)
        self._delete = _DELETE(original.xDelete)
        self._methods: dict[int, _Methods] = {}
        self._callbacks: list[Any] = []
        self.vfs = _Vfs.from_buffer_copy(original)
        self.vfs.zName = b"faulty"
        self.vfs.pNext = None
        self._replace(self.vfs, xOpen=_OPEN(self._on_open), xDelete=_DELETE(self._on_delete))

    # SQLite keeps the pointer to the name, and finds more behind it, so it is passed on as it came.
    def _on_open(self, vfs: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        code = self._open(vfs, name, file, flags, out)
        path = None if name is None else Path(ctypes.string_at(name).decode())
        if code == OK and path is not None and path.parent == self._disk.folder:
            self._names[file] = path.name
            opened = ctypes.cast(file, ctypes.POINTER(_File)).contents
            opened.pMethods = ctypes.pointer(self._wrapped_methods(opened.pMethods.contents))
        return code

    def _wrapped_methods(self, original: _Methods) -> _Methods:
        """Return the methods of one kind of file: logs are locked and closed otherwise than databases."""
        kind = original.xClose
        if kind not in self._methods:
            self._methods[kind] = self._made_methods(original)
        return self._methods[kind]

    def _made_methods(self, original: _Methods) -> _Methods:
        write, truncate = _WRITE(original.xWrite), _TRUNCATE(original.xTruncate)
        sync, close = _SYNC(original.xSync), _CLOSE(original.xClose)

        def on_write(file: int, content: int, size: int, offset: int) -> int:
            step = Step("write", self._names[file], offset, ctypes.string_at(content, size))
            return self._disk.answer(step) or write(file, content, size, offset)

        def on_truncate(file: int, size: int) -> int:
            return self._disk.answer(Step("truncate", self._names[file], size)) or truncate(file, size)

        def on_sync(file: int, flags: int) -> int:
            return self._disk.answer(Step("sync", self._names[file])) or sync(file, flags)

        def on_close(file: int) -> int:
            self._names.pop(file, None)
            return close(file)

        methods = _Methods.from_buffer_copy(original)
        self._replace(
            methods,
            xWrite=_WRITE(on_write),
            xTruncate=_TRUNCATE(on_truncate),
            xSync=_SYNC(on_sync),
            xClose=_CLOSE(on_close),
        )
        return methods

    def _replace(self, table: ctypes.Structure, **callbacks: Any) -> None:
        for name, callback in callbacks.items():
            setattr(table, name, ctypes.cast(callback, _Pointer).value)
        self._callbacks += callbacks.values()

    def _on_delete(self, vfs: int, name: int, sync_folder: int) -> int:
        path = Path(ctypes.string_at(name).decode())
        if path.parent == self._disk.folder:
            self._disk.answer(Step("delete", path.name, is_durable=bool(sync_folder)))
        return self._delete(vfs, name, sync_folder)
