"""Every error evenkeel raises on purpose, by who has to act.

::

    EvenkeelError
    ├── DataError      skip it, count it, show it
    │   ├── FrameError      a wearable sent bytes that no specification allows
    │   ├── RecordingError  a file holds something else than it should
    │   ├── RejectedSamplesError  the store holds all samples of a write but these
    │   └── CoverageError   too little data for an honest value
    ├── DeviceError    try again
    │   ├── SensorError             a wearable cannot be reached, or went silent
    │   ├── StoreUnavailableError   the store refuses or cannot be reached just now
    │   └── BusyError               another run of the same job is at work
    └── ConfigError    the operator has to change something
        ├── HomeError       the installation's directory or a file in it cannot be used
        ├── UnknownError    a subject, sensor, stream or user that is not registered
        ├── RefusedError    a request that would harm what is already there
        ├── StoreAccessError  the store does not let us in: token, rights, names, certificate
        └── BluetoothError  no usable Bluetooth on this machine

Anything else is a bug and ends the process. A message says what, for whom and when, the value seen,
the value needed and what to do. It never holds more about a person than the pseudonymous id.
"""


class EvenkeelError(Exception):
    """Root of the tree; `str()` of it is a sentence for the user."""


class DataError(EvenkeelError):
    """Some data cannot be used: skip, count, show."""


class FrameError(DataError):
    """A wearable sent bytes that no specification allows.

    Attributes
    ----------
    frame : bytes
        The bytes as received, so that a report can become a test.
    """

    def __init__(self, message: str, frame: bytes) -> None:
        super().__init__(f"{message}; frame {frame.hex() or '(empty)'}")
        self.frame = frame


class RecordingError(DataError):
    """A file of recorded data holds something else than it should."""


class RejectedSamplesError(DataError):
    """A store could not take some samples of a write, and never will; it holds all the others.

    Attributes
    ----------
    rejected : tuple of (int, int, str)
        Position of the batch in the write, position of the sample in the batch, and why.
    """

    def __init__(self, message: str, rejected: "tuple[tuple[int, int, str], ...]") -> None:
        super().__init__(message)
        self.rejected = rejected


class CoverageError(DataError):
    """Too little data for an honest value."""


class DeviceError(EvenkeelError):
    """A wearable or radio failed in a way that may pass: try again."""


class SensorError(DeviceError):
    """A wearable cannot be reached, or went silent."""


class StoreUnavailableError(DeviceError):
    """The store refuses or cannot be reached just now; what was to be written must be kept."""


class BusyError(DeviceError):
    """Another run of the same job is at work."""


class ConfigError(EvenkeelError):
    """The operator has to change something before this can work."""


class HomeError(ConfigError):
    """The installation's directory, or a file in it, cannot be used."""


class UnknownError(ConfigError):
    """A subject, sensor, stream or user that is not registered."""


class RefusedError(ConfigError):
    """A request that would harm what is already there."""


class StoreAccessError(ConfigError):
    """The store is there but does not let us in; what was to be written must be kept."""


class BluetoothError(ConfigError):
    """No usable Bluetooth on this machine."""
