# Copyright glancetx contributors. See LICENSE for details.

"""
What tests of backends need: the conformance suite, consumers, faults, a backend.
"""

from .consumers import RecordingConsumer

__all__ = ["RecordingConsumer"]
