"""A message bus of our own: a `dbus-daemon` on a socket in a private directory. Never the system's."""

import asyncio
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from types import TracebackType
from typing import Self

from store.errors import ConfigError

START_TIMEOUT_S = 10
"""It takes some 20 ms; a machine that needs longer than this has other trouble."""

STOP_TIMEOUT_S = 2
"""A daemon that does not heed SIGTERM within this is killed."""

_CONFIGURATION = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>evenkeel</type>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""
"""No limits are set, so the daemon's own apply: those of a system bus, such as 256 connections of one user.
Only the same user may connect."""

_ON_A_LEASH = """\
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
"""Linux ends the daemon with the thread that started it, even if that was killed. The second line is for a
starter that was gone before the first."""


class PrivateBus:
    """A `dbus-daemon` that lives as long as the thread that starts it, at most.

    Attributes
    ----------
    address : str
        For `DBUS_SYSTEM_BUS_ADDRESS`, once started.
    """

    def __init__(self) -> None:
        self.address = ""
        self._directory: Path | None = None
        self._daemon: Process | None = None

    async def start(self) -> None:
        """Start the daemon; started again after `stop_daemon`, it has the same address.

        Raises
        ------
        ConfigError
            If there is no `dbus-daemon`, or it does not start.
        """
        program = await asyncio.to_thread(shutil.which, "dbus-daemon")
        if program is None:
            raise ConfigError(
                "dbus-daemon is not installed, and the virtual Bluetooth service needs a message bus of its "
                "own; install it (Debian, Ubuntu: apt install dbus-daemon; Fedora: dnf install dbus-daemon)"
            )
        if self._directory is None:
            self._directory = await asyncio.to_thread(_make_directory)
            self.address = f"unix:path={self._directory / 'bus'}"
        try:
            await self._start_daemon(program, self._directory)
        except BaseException:
            await self.stop()
            raise

    async def stop_daemon(self) -> None:
        """End the daemon, as a crash of the bus would, and keep its place."""
        daemon, self._daemon = self._daemon, None
        if daemon is None or daemon.returncode is not None:
            return
        daemon.terminate()
        try:
            await asyncio.wait_for(daemon.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            daemon.kill()
            await daemon.wait()

    async def stop(self) -> None:
        """End the daemon and remove its directory."""
        try:
            await self.stop_daemon()
        finally:
            directory, self._directory = self._directory, None
            if directory is not None:
                await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _start_daemon(self, program: str, directory: Path) -> None:
        configuration, said = await asyncio.to_thread(_prepare, directory, self.address)
        # From this thread, for the daemon ends with the thread that starts it.
        self._daemon = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", "-c", _ON_A_LEASH, str(os.getpid()), program,
            f"--config-file={configuration}", "--nofork", "--nosyslog", "--nopidfile", "--print-address=1",
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=said,
        )  # fmt: skip
        await asyncio.to_thread(os.close, said)
        if self._daemon.stdout is None or not await asyncio.wait_for(
            self._daemon.stdout.readline(), START_TIMEOUT_S
        ):
            complaint = await asyncio.to_thread((directory / "said").read_text)
            raise ConfigError(
                f"dbus-daemon did not start ({complaint.strip() or 'no reason given'}); mend that first"
            )


def _make_directory() -> Path:
    """Return a new directory, this user's alone; its path is short, for a socket's has at most 107 bytes."""
    return Path(tempfile.mkdtemp(prefix="evenkeel-bus-"))


def _prepare(directory: Path, address: str) -> tuple[Path, int]:
    """Write the configuration; return it and a file that takes what the daemon complains about."""
    (directory / "bus").unlink(missing_ok=True)
    configuration = directory / "bus.conf"
    configuration.write_text(_CONFIGURATION.format(address=address))
    return configuration, os.open(directory / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
