# Copyright glancetx contributors. See LICENSE for details.

"""
What a list is asked for: who asks, what must match, in which order, from where.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import field, frozen

__all__ = ["SORT_KEYS", "Query", "TimeFilter"]

#: What a list can be sorted by.
SORT_KEYS = (
    "name",
    "status",
    "container_format",
    "disk_format",
    "size",
    "id",
    "created_at",
    "updated_at",
)


@frozen
class TimeFilter:
    """
    :ivar field: ``created_at`` or ``updated_at``.
    :ivar op: ``gt``, ``gte``, ``lt``, ``lte``, ``eq`` or ``neq``.
    :ivar when: to the second, as times are shown; not the last one of all.
    """

    field: str
    op: str
    when: datetime


@frozen
class Query:
    """
    Which images to list; what is ``None`` or empty does not matter.

    Of who asks, ``project`` and ``admin`` are told. A project's list has its own
    images, public ones, and those that are shared with it; an admin's has all images
    but the community images of others. These are listed if ``visibility`` asks for
    them (Image API v2, "List images"), or if the admin has no project.

    :ivar visibility: one of :class:`~glancetx.image.Visibility`, or ``all``.
    :ivar member_status: of images that others share: one of
        :class:`~glancetx.image.MemberStatus`, or ``all``.
    :ivar names: any of them, as with ``statuses``, ``disk_formats``,
        ``container_formats`` and ``ids``.
    :ivar tags: all of them.
    :ivar parent_id: of the direct parent: its id here, or an origin and the id there.
    :ivar properties: names with the values that they must have.
    :ivar numbers: of ``size``, ``virtual_size``, ``min_disk`` or ``min_ram``: the least
        and the greatest, both inclusive. What has no size matches no bounds.
    :ivar times: all of them must hold.
    :ivar sort: of :data:`SORT_KEYS`, each with whether it descends. What has no value
        comes first, or last if descending. ``created_at`` and ``id`` decide at last, in
        the direction of the first key. Without any, the newest come first.
    :ivar marker: the id of the last image of the page before.
    :ivar limit: how many images at most.
    :ivar weight: how much they weigh together at most, see
        :attr:`~glancetx.image.Image.weight`. The image with which it becomes too much
        is found all the same: it shows that there are more.
    """

    project: str | None = None
    admin: bool = True
    visibility: str | None = None
    member_status: str = "accepted"
    owner: str | None = None
    hidden: bool | None = None
    protected: bool | None = None
    names: tuple[str, ...] | None = None
    statuses: tuple[str, ...] | None = None
    disk_formats: tuple[str, ...] | None = None
    container_formats: tuple[str, ...] | None = None
    ids: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    parent_id: str | tuple[str, str] | None = None
    properties: Mapping[str, str] = field(factory=dict)
    numbers: Mapping[str, tuple[int | None, int | None]] = field(factory=dict)
    times: tuple[TimeFilter, ...] = ()
    sort: tuple[tuple[str, bool], ...] = ()
    marker: str | None = None
    limit: int = 25
    weight: int | None = None
