"""Many machines, chosen in the list: one by one, or all that match what the list shows."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import QueryDict

from portal import access
from portal.machine_list import MachineQuery
from portal.machine_picker import MachinePicker
from tenants.middleware import TenantRequest
from vprotect_bridge.bulk import MOST_MACHINES
from vprotect_bridge.models import Machine


@dataclass(frozen=True)
class Selection:
    """`machines` by name, each once; empty when they are more than can be asked for at once."""

    machines: list[Machine]
    total: int

    @property
    def is_too_large(self) -> bool:
        return self.total > MOST_MACHINES

    @classmethod
    def of(cls, request: TenantRequest) -> Selection:
        """From a form or an address: `machines` are GUIDs, `matching` is an address of the list.

        One GUID that is foreign or unknown: 404.
        """
        given = request.POST if request.method == "POST" else request.GET
        guids = MachinePicker(given, access.visible_machines(request.membership)).chosen
        if len(guids) > MOST_MACHINES:
            return cls([], len(guids))
        machines = {machine.guid: machine for machine in access.machines_for(request, guids)} if guids else {}
        if matching := given.get("matching"):
            query = MachineQuery.of(QueryDict(matching.removeprefix("?")))
            found = query.machines(request.membership)
            machines |= {machine.guid: machine for machine in found.defer("details")[: MOST_MACHINES + 1]}
            if len(machines) > MOST_MACHINES:
                return cls([], max(found.count(), len(machines)))
        return cls(sorted(machines.values(), key=lambda machine: (machine.name.lower(), machine.guid)), len(machines))
