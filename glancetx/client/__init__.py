# Copyright glancetx contributors. See LICENSE for details.

"""
Images for Twisted programs.
"""

from .images import ImageClient
from .problems import NotTrusted, ServerRefused
from .records import ImageRecord, Manifest, ManifestPiece
from .servers import Server

__all__ = [
    "ImageClient",
    "ImageRecord",
    "Manifest",
    "ManifestPiece",
    "NotTrusted",
    "Server",
    "ServerRefused",
]
