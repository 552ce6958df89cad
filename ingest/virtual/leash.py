"""Run an evenkeel command that ends with the process that started it, however that one ended.

The starter holds the other end of standard input and never writes to it. When the starter is gone, killed
without a chance to stop anybody, the end of that input says so, on every platform.
"""

import os
import runpy
import signal
import threading

STDIN = 0


def main() -> None:
    """Run the command that the arguments name."""
    threading.Thread(target=_end_with_starter, name="leash", daemon=True).start()
    runpy.run_module("evenkeel", run_name="__main__", alter_sys=True)


def _end_with_starter() -> None:
    # Not `sys.stdin`: a thread that waits inside it keeps a lock that the interpreter wants at its end.
    while os.read(STDIN, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
