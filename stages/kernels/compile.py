"""Compiles kernels with Numba, once per content of this folder, and keeps the machine code in the user's cache.

Numba's own cache looks at the file of the compiled function alone: change a helper in another file, and the old code
runs on. So the cache folder carries a hash of every file of this folder, and a change anywhere compiles afresh.
Kernels are written as

    @kernel
    def count_bytes(data, offsets, counts): ...

over arrays; tables are arguments, since a large global array is never cached. A module of kernels has a function
`warmup()` that calls each of them on the types it is used with; all together compile in 90 s of one core, once.
"""

import hashlib
import importlib
import logging
import os
import pkgutil
import platform
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

FOLDER = Path(__file__).parent

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Decorator: machine code without the interpreter lock. Division by zero is not checked: it must not happen."""
    return _compiled(function)


def inlined(function: Function) -> Function:
    """Decorator for a small helper that Numba writes into its callers before it optimises them."""
    return _compiled(function, inline="always")


def _compiled(function: Function, inline: Literal["never", "always"] = "never") -> Function:
    import numba

    config = cast("Any", numba.config)
    before = config.CACHE_DIR
    config.CACHE_DIR = str(cache_folder())
    try:
        return cast("Function", numba.njit(nogil=True, cache=True, error_model="numpy", inline=inline)(function))
    finally:
        config.CACHE_DIR = before  # others' Numba functions stay where they were


@cache
def cache_folder() -> Path:
    """Where this content of the kernels, on this machine, has its machine code.

    A cache that cannot be written, or that belongs to someone else (machine code is loaded from it), is replaced by a
    folder for this process, and a warning says so.
    """
    folder = user_cache() / "corpusmill" / kernels_hash()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        owned = not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
        if owned and os.access(folder, os.W_OK):
            return folder
        reason = "belongs to another user" if not owned else "is not writable"
    except OSError as error:
        reason = str(error)
    logging.getLogger(__name__).warning(
        "%s: %s; kernels compile in every process. Set XDG_CACHE_HOME to a folder that you can write.", folder, reason
    )
    return Path(tempfile.mkdtemp(prefix="corpusmill-kernels-"))


def user_cache() -> Path:
    """The user's cache folder, as each system has it."""
    if "XDG_CACHE_HOME" in os.environ:
        return Path(os.environ["XDG_CACHE_HOME"])
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")


@cache
def kernels_hash() -> str:
    """Hash of all kernel files, the versions of Numba and Python, and the CPU."""
    import numba

    llvm = importlib.import_module("llvmlite.binding")  # without stubs
    digest = hashlib.blake2b(digest_size=12)
    for path in sorted(FOLDER.glob("*.py")):
        digest.update(f"{path.name}\0".encode() + hashlib.blake2b(path.read_bytes()).digest())
    machine = (numba.__version__, platform.python_version(), platform.machine(), llvm.get_host_cpu_name())
    digest.update("\0".join(machine).encode())
    return digest.hexdigest()


def warmup() -> None:
    """Compile every kernel of this folder, a module at a time on every core, or load it where that was done before.

    Workers that compile the same helper at once may lose one another's entry in Numba's index, so this process loads
    everything at the end and compiles what is missing.
    """
    names = [found.name for found in pkgutil.iter_modules([str(FOLDER)]) if found.name != "compile"]
    num_workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if num_workers > 1 and cache_folder().parent == user_cache() / "corpusmill":
        with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as workers:
            list(workers.map(_warm_up, names))
    for name in names:
        _warm_up(name)


def _warm_up(name: str) -> None:
    module = importlib.import_module(f"{__package__}.{name}")
    if hasattr(module, "warmup"):
        module.warmup()
