# Copyright glancetx contributors. See LICENSE for details.

"""
What tests of backends need: the conformance suite, consumers, faults, a backend.
"""

from .conformance import (
    BackendTests,
    ProducingTests,
    ReadingTests,
    UnsteadyTests,
)
from .consumers import RecordingConsumer
from .faults import Fault, Watched
from .memory import MemoryBackend, MemoryFactory, Shelf
from .tools import inline_tools, threaded_tools

__all__ = [
    "BackendTests",
    "Fault",
    "MemoryBackend",
    "MemoryFactory",
    "ProducingTests",
    "ReadingTests",
    "RecordingConsumer",
    "Shelf",
    "UnsteadyTests",
    "Watched",
    "inline_tools",
    "threaded_tools",
]
