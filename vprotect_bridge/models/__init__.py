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
from vprotect_bridge.models.operations import BulkRequest, Operation, OperationEvent, OperationTask, Question
from vprotect_bridge.models.plans import Plan, PlanChange, Policy, Schedule, Standing
from vprotect_bridge.models.upstream import UpstreamSession, UpstreamStatus

__all__ = [
    "SEVERITY",
    "WORST_FIRST",
    "Backup",
    "BackupDay",
    "BulkRequest",
    "Cluster",
    "Destination",
    "Hypervisor",
    "Machine",
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
