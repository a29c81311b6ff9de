"""Every error unifmir raises on purpose: one base class, and the builtin a caller would catch.

A message names what was expected, what was found, and the next thing to try. It quotes what others
wrote (names, metadata, addresses), and so shows itself without anything that a terminal obeys and
without passwords or tokens.
"""

from unifmir.shown_text import shown


class UnifmirError(Exception):
    """Base of the errors that are the user's to solve; the CLI shows them and exits with 2."""

    def __str__(self) -> str:
        return shown(super().__str__())


class CheckpointError(UnifmirError, ValueError):
    """A file is not a checkpoint this package can use."""


class ArchiveError(UnifmirError, ValueError):
    """A zip archive is damaged, or made to do harm."""


class ImageError(UnifmirError, ValueError):
    """An image cannot be read, or does not fit the task."""


class UnknownNameError(UnifmirError, KeyError):
    """A task, format or model that no registry knows."""

    def __str__(self) -> str:
        # KeyError shows the repr of its argument, which hides line breaks and doubles quotes.
        return shown(str(self.args[0]))


class ExportError(UnifmirError, RuntimeError):
    """An artifact could not be made, or was refused because it is not the same picture."""


class UntrustedError(ExportError):
    """A file holds a program that was not written here and that nobody here has trusted."""


class OutputError(UnifmirError, OSError):
    """A file cannot be written: no room, no permission, a name too long, another's place."""


class InUseError(OutputError):
    """Another process is writing the same output."""


class ZooError(UnifmirError, RuntimeError):
    """A zoo entry is malformed, or its file cannot be had or is not what was recorded."""


class AddressError(ZooError, ImageError):
    """An address of a model or image is none that is asked."""


class NotHelpedError(UnifmirError, RuntimeError):
    """A training that made nothing better; its model is not written."""


class SimulationError(UnifmirError, RuntimeError):
    """Images for a training could not be simulated: the process that did so has ended."""


class MissingExtraError(UnifmirError, ImportError):
    """An optional dependency is not installed."""


class BenchmarkError(UnifmirError, RuntimeError):
    """A benchmark cannot be run as asked, or a file is no result of one."""


class ClusterError(UnifmirError, RuntimeError):
    """Workers cannot be reached, or fail again and again."""


class TooLittleMemoryError(UnifmirError, MemoryError):
    """The memory there is does not even suffice for the smallest part of an image."""
