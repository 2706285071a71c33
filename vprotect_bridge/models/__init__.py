from vprotect_bridge.models.alerts import Alert
from vprotect_bridge.models.mirror import (
    SEVERITY,
    WORST_FIRST,
    Backup,
    BackupDay,
    Cluster,
    Destination,
    Hypervisor,
    Machine,
    OwnerChange,
    Protection,
    Storage,
)
from vprotect_bridge.models.mounts import ChosenEntry, Download, FileEntry, Folder, Mount
from vprotect_bridge.models.operations import BulkRequest, Operation, OperationEvent, OperationTask, Question
from vprotect_bridge.models.plans import Plan, PlanChange, Policy, Schedule, Standing
from vprotect_bridge.models.upstream import UpstreamSession, UpstreamStatus

__all__ = [
    "SEVERITY",
    "WORST_FIRST",
    "Alert",
    "Backup",
    "BackupDay",
    "BulkRequest",
    "ChosenEntry",
    "Cluster",
    "Destination",
    "Download",
    "FileEntry",
    "Folder",
    "Hypervisor",
    "Machine",
    "Mount",
    "Operation",
    "OperationEvent",
    "OperationTask",
    "OwnerChange",
    "Plan",
    "PlanChange",
    "Policy",
    "Protection",
    "Question",
    "Schedule",
    "Standing",
    "Storage",
    "UpstreamSession",
    "UpstreamStatus",
]
