"""How the simulated vProtect names things: GUIDs, enums, references, JSON rows."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

Row = dict[str, Any]


def guid_of(path: str) -> str:
    """The GUID of a thing of a landscape, the same in every run: `guid_of("vm/web-01")`."""
    return str(uuid5(NAMESPACE_URL, f"vprotect-simulator/{path}"))


def new_guid() -> str:
    return str(uuid4())


DESCRIPTIONS = {
    "VM": "Virtual machine",
    "VM_BACKUP": "VM backup",
    "APP_BACKUP": "Application backup",
    "VM_SNAPSHOT": "VM snapshot",
    "VM_IMAGE": "VM image",
    "QCOW2": "QCOW2",
    "DIRECT_LUN": "Direct LUN",
    "ISCSI": "iSCSI",
    "VCENTER": "VMware vCenter",
    "ESXI": "VMware ESXi",
    "INPROGRESS": "In progress",
    "IN_PROGRESS": "In progress",
    "PARTIAL_SUCCESS": "Partial success",
    "SUCCESS_REMOVED": "Success (removed)",
    "OPENSTACK": "OpenStack",
    "RHV": "Red Hat Virtualization",
    "KVM": "KVM",
    "FILESYSTEM": "File system",
    "S3": "S3",
    "ISP": "Spectrum Protect",
}


def enum(name: str) -> Row:
    """`EnumNameAndDescription` (API reference, 3.5)."""
    return {"name": name, "description": DESCRIPTIONS.get(name, name.replace("_", " ").capitalize())}


def enum_name(value: Any) -> str:
    """The name in a request's enum, which may be an object or a bare string; empty if neither."""
    name = value.get("name") if isinstance(value, dict) else value
    return name if isinstance(name, str) else ""


def reference(row: Row, kind: str | None = None) -> Row:
    """`NameAndGuid`, with `kind` `NameGuidAndType` (API reference, 3.4)."""
    named: Row = {"guid": row["guid"], "name": row.get("name", "")}
    return {**named, "type": enum(kind)} if kind else named


def referred_guid(value: Any) -> str:
    """The GUID in a request's reference: `{guid}`, `{guid, name}`, a whole row or a bare string."""
    guid = value.get("guid") if isinstance(value, dict) else value
    return guid if isinstance(guid, str) else ""


def without(row: Row, *members: str) -> Row:
    return {name: value for name, value in row.items() if name not in members}


def to_wire(value: Any) -> Any:
    """Without members that have no value (API reference, 3.6) and without the simulator's own (`_…`)."""
    if isinstance(value, dict):
        return {k: to_wire(v) for k, v in value.items() if v is not None and not k.startswith("_")}
    if isinstance(value, list):
        return [to_wire(item) for item in value]
    return value
