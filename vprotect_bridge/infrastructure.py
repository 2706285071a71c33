"""Mirrors what the operator grants from: destinations, and where machines can be made again (API reference, 13, 14)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Model
from django.utils import timezone

from vprotect_bridge.client import types
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.models import Cluster, Destination, Hypervisor, Storage


def sync_destinations(api: VProtect) -> None:
    listing = api.list_destinations()
    _write(Destination, {row.guid: _destination(row) for row in listing.items}, is_all=_is_all(listing))


def sync_restore_targets(api: VProtect) -> None:
    """Hypervisors and managers with their clusters and storages. Raises `UpstreamError`; what was read is kept."""
    hypervisors = api.list_hypervisors()
    facts = {
        row.guid: {"name": row.name or row.guid, "platform": row.type, "is_manager": row.is_manager}
        for row in hypervisors.items
    }
    _write(Hypervisor, facts, is_all=_is_all(hypervisors))
    ids = dict(Hypervisor.objects.values_list("guid", "pk"))
    clusters: dict[str, Any] = {}
    storages: dict[str, Any] = {}
    is_all = _is_all(hypervisors)
    for hypervisor in hypervisors.items:
        here = {"hypervisor_id": ids[hypervisor.guid]}
        of_clusters, of_storages = api.list_clusters(hypervisor), api.list_storages(hypervisor)
        is_all = is_all and _is_all(of_clusters) and _is_all(of_storages)
        clusters |= {row.guid: {**here, "uuid": row.uuid, "name": row.name or row.uuid} for row in of_clusters.items}
        storages |= {row.guid: {**here, **_storage(row)} for row in of_storages.items}
    _write(Cluster, clusters, is_all=is_all)
    _write(Storage, storages, is_all=is_all)


def _destination(row: types.Destination) -> dict[str, Any]:
    return {
        "name": row.name or row.guid,
        "type": row.type,
        "is_default": row.is_default,
        "capacity": row.capacity,
        "used": row.used,
    }


def _storage(row: types.Storage) -> dict[str, Any]:
    return {
        "uuid": row.uuid,
        "name": row.name or row.uuid,
        "capacity": row.capacity,
        "used": row.used,
        "cluster_guids": sorted(cluster.guid for cluster in row.clusters),
    }


def _is_all(listing: types.Listing[Any]) -> bool:
    """An empty list of what a working vProtect always has is not believed."""
    return listing.complete and bool(listing.items) and not listing.dropped


def _write(model: type[Model], facts: dict[str, dict[str, Any]], *, is_all: bool) -> None:
    """Writes only rows that changed; with `is_all`, what is not among them has vanished."""
    rows: Any = model._default_manager
    known = {row.guid: row for row in rows.all()}
    for guid, of_row in facts.items():
        wanted = {**of_row, "vanished_at": None}
        row = known.get(guid)
        if row is None:
            rows.create(guid=guid, **wanted)
        elif any(getattr(row, name) != value for name, value in wanted.items()):
            rows.filter(pk=row.pk).update(**wanted)
    if is_all:
        _mark_vanished(rows, facts)


def _mark_vanished(rows: Any, guids: Iterable[str]) -> None:
    rows.filter(vanished_at__isnull=True).exclude(guid__in=list(guids)).update(vanished_at=timezone.now())
