"""One family of errors for every stage.

A `WarehouseError` is something that a person can act on. Its message names the thing, the place and the next step, and
shows no value of a row and no password. The command line prints it as one sentence. Every other exception is a bug of
this project and keeps its traceback.

What is raised is always one of two kinds, because Airflow asks the type (see `include.orchestration.defaults`):

    FinalError       the same call would fail again: somebody has to change a file, a contract, a setting or a right
    TransientError   the next try may succeed: a server was away, a lock was taken, a disk was full
"""

from __future__ import annotations


class WarehouseError(Exception):
    """An expected failure, as one sentence for the person who has to deal with it."""


class FinalError(WarehouseError):
    """A failure that trying again does not cure. An Airflow task that raises it fails at once."""


class TransientError(WarehouseError):
    """A failure that may pass by itself. An Airflow task that raises it is tried again."""


class SettingError(FinalError):
    """A setting has a value that it can't have; the message names the variable."""


class FileError(WarehouseError):
    """A file can't be read or moved; the message gives the reason and the next step, and shows no value of a row."""


class UnusableFileError(FileError, FinalError):
    """A file is not what it should be: somebody has to send it again, or to change the contract or a setting."""


class UnavailableFileError(FileError, TransientError):
    """A file can't be had now: it is being written, or the server that gives it is away."""
