# Copyright glancetx contributors. See LICENSE for details.

"""
Who sees which images in lists, in SQL (Image API v2, "List images").

What somebody sees is cut into views that have no image in common, each with an index
of its own: a condition with OR would make the database look at every image.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen
from sqlalchemy import ColumnElement, and_, false, or_, select, true

from glancetx.image import Visibility

from .query import Query
from .schema import images, members

__all__ = ["BY_ID", "View", "is_seen", "views_of"]

Condition = ColumnElement[bool]

#: SQLite's own index of the primary key.
BY_ID = "sqlite_autoindex_images_1"

#: What everybody may see, in a list or not.
_OPEN = (Visibility.PUBLIC.value, Visibility.COMMUNITY.value)


@frozen
class View:
    """
    Some of the images that somebody sees.

    :ivar index: leads to them in the order of the list, or to so few that sorting them
        is cheap.
    """

    condition: Condition
    index: str


def is_seen(query: Query) -> Condition:
    """Whether who asks may see an image at all; for a look at few images."""
    if query.admin:
        return true()
    seen = images.c.visibility.in_(_OPEN)
    if query.project is None:
        return seen
    return seen | (images.c.owner == query.project) | _is_shared(query.project, "all")


def views_of(query: Query, lead: str) -> list[View]:
    """
    What the list is made of that a query asks for.

    :param lead: the column by which the images of a view are best looked up.
    """
    views = list(_cuts(query, lead))
    if query.ids is None and query.parent_id is None:
        return views
    return [View(or_(false(), *(view.condition for view in views)), BY_ID)]


def _cuts(query: Query, lead: str) -> Iterator[View]:
    for visibility in _asked(query):
        if _is_open(query, visibility):
            yield from _everybodys(query, visibility, lead)
        else:
            yield from _own(query, visibility, lead)
            if visibility is Visibility.SHARED:
                yield from _shared(query)


def _asked(query: Query) -> tuple[Visibility, ...]:
    if query.visibility in (None, "all"):
        return tuple(Visibility)
    return (Visibility(query.visibility),)


def _is_open(query: Query, visibility: Visibility) -> bool:
    """
    Whether the list has all images of this visibility, whoever owns them.

    To an admin without a project no image is that of others.
    """
    if visibility is Visibility.COMMUNITY and query.visibility is None:
        return query.admin and query.project is None
    return query.admin or visibility.value in _OPEN


def _everybodys(query: Query, visibility: Visibility, lead: str) -> Iterator[View]:
    if query.owner is not None:
        yield from _of_owner(query, visibility, query.owner, lead)
        return
    for hidden in _hidden(query):
        yield View(
            and_(
                images.c.visibility == visibility.value,
                images.c.hidden == hidden,
            ),
            _index("visibility", "hidden", lead),
        )


def _own(query: Query, visibility: Visibility, lead: str) -> Iterator[View]:
    if query.project is not None and query.owner in (None, query.project):
        yield from _of_owner(query, visibility, query.project, lead)


def _of_owner(
    query: Query, visibility: Visibility, owner: str, lead: str
) -> Iterator[View]:
    """An owner has few images: they are sorted where no index of them is."""
    lead = "name" if lead == "name" else "created_at"
    for hidden in _hidden(query):
        yield View(
            and_(
                images.c.owner == owner,
                images.c.visibility == visibility.value,
                images.c.hidden == hidden,
            ),
            _index("owner", "visibility", "hidden", lead),
        )


def _shared(query: Query) -> Iterator[View]:
    """Those that others share with the project, which are few."""
    if query.project is None:
        return
    condition = and_(
        _is_shared(query.project, query.member_status),
        images.c.owner.is_distinct_from(query.project),
        images.c.hidden.in_(_hidden(query)),
    )
    if query.owner is not None:
        condition &= images.c.owner == query.owner
    yield View(condition, BY_ID)


def _is_shared(project: str, status: str) -> Condition:
    shared = select(members.c.image_id).where(members.c.project == project)
    if status != "all":
        shared = shared.where(members.c.status == status)
    return and_(images.c.visibility == Visibility.SHARED.value, images.c.id.in_(shared))


def _hidden(query: Query) -> tuple[bool, ...]:
    return (False, True) if query.hidden is None else (query.hidden,)


def _index(*columns: str) -> str:
    """The name of the index that begins with these columns."""
    last = {"id": (), "created_at": ("id",)}.get(columns[-1], ("created_at", "id"))
    return "_".join(("ix_images", *columns, *last))
