from vprotect_bridge.models.mirror import Backup, Destination, Machine, Protection
from vprotect_bridge.models.operations import Operation, OperationEvent, Question
from vprotect_bridge.models.upstream import UpstreamSession, UpstreamStatus

__all__ = [
    "Backup",
    "Destination",
    "Machine",
    "Operation",
    "OperationEvent",
    "Protection",
    "Question",
    "UpstreamSession",
    "UpstreamStatus",
]
