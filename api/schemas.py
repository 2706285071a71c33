"""What is sent and answered, as JSON Schema 2020-12: bodies are held against it at each request, answers in each test.

Names are the customer's and stay; sizes are bytes, times RFC 3339 in UTC.
"""

from __future__ import annotations

from typing import Any

from tokens.models import TOKEN_ROLES
from vprotect_bridge.models import Operation, Protection

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
ID: Schema = {"type": "string", "description": "As another answer told it."}
BYTES: Schema = {"type": ["integer", "null"], "minimum": 0, "description": "Bytes; null = not known."}
MOMENT: Schema = {"type": "string", "format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}
MAYBE_MOMENT: Schema = {**MOMENT, "type": ["string", "null"]}
WANTED_MOMENT: Schema = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)$",
    "maxLength": 40,
}
PLATFORM: Schema = {**TEXT, "description": "As the backup system names it: KVM, VCENTER, OPENSTACK …"}
STATES = ("waiting", "running", "checking", *(outcome.value for outcome in Operation.Outcome if outcome.value))


def an_object(properties: dict[str, Schema], *, optional: tuple[str, ...] = (), **more: Any) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False, **more}


def a_list_of(name: str) -> Schema:
    return an_object(
        {
            "items": {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}},
            "next_cursor": {"type": ["string", "null"], "description": "For the next page; null = this is the last."},
        }
    )


def maybe(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


_NAMED = an_object({"id": ID, "name": TEXT})
_MACHINE = {
    "id": ID,
    "name": TEXT,
    "platform": PLATFORM,
    "status": {"enum": [name.value for name in Protection], "description": "How well it is protected."},
    "exists": {"type": "boolean", "description": "false: it was deleted, and may still be restored."},
    "plan": {**maybe(_NAMED), "description": "The plan that backs it up by itself."},
    "last_backup_at": {**MAYBE_MOMENT, "description": "Of its last good backup."},
    "full_bytes": {**BYTES, "description": "Of its last full backup; null = not known."},
}
_BACKUP_TYPE: Schema = {"enum": ["full", "incremental"]}

SCHEMAS: dict[str, Schema] = {
    "Token": an_object(
        {
            "name": TEXT,
            "organisation": TEXT,
            "owner": {"type": ["string", "null"], "description": "E-mail address; null = the organisation itself."},
            "role": {"enum": [role.value for role in TOKEN_ROLES], "description": "What it may do now."},
            "machines": {
                "type": ["array", "null"],
                "items": ID,
                "description": "The only ones that it may see now; null = every machine.",
            },
            "expires_at": MOMENT,
        }
    ),
    "Machine": an_object(_MACHINE),
    "MachineDetail": an_object(
        {
            **_MACHINE,
            "running": {
                "type": "array",
                "items": an_object({"id": ID, "kind": {"enum": ["backup", "restore", "opening", "task"]}}),
                "description": "Operations on it that have not ended.",
            },
        }
    ),
    "Machines": a_list_of("Machine"),
    "RestorePoint": an_object(
        {
            "id": ID,
            "at": MOMENT,
            "type": {**TEXT, "description": "full, incremental or another word of the backup system's."},
            "bytes": BYTES,
            "has_warnings": {"type": "boolean", "description": "true: something was left out."},
        }
    ),
    "RestorePoints": a_list_of("RestorePoint"),
    "Destinations": an_object(
        {
            "items": {
                "type": "array",
                "items": an_object({"id": ID, "name": TEXT, "is_usual": {"type": "boolean"}}),
            }
        }
    ),
    "RestorePlaces": an_object(
        {
            "items": {
                "type": "array",
                "items": an_object(
                    {
                        "id": ID,
                        "name": TEXT,
                        "storages": {
                            "type": "array",
                            "items": an_object({"id": ID, "name": TEXT, "free_bytes": BYTES}),
                        },
                    }
                ),
            },
            "data_centers": {"type": "array", "items": TEXT},
            "needs_storage": {"type": "boolean", "description": "This platform wants a storage to be named."},
            "needs_data_center": {"type": "boolean", "description": "This platform wants a data center to be named."},
        }
    ),
    "Plan": an_object(
        {
            "id": ID,
            "name": TEXT,
            "state": {"enum": ["active", "paused", "idle"], "description": "idle: it never backs anything up."},
            "schedules": {"type": "array", "items": TEXT, "description": "Sentences."},
            "time_zone": {**TEXT, "description": "IANA name, of the times in those sentences."},
            "next_run_at": MAYBE_MOMENT,
        }
    ),
    "Plans": a_list_of("Plan"),
    "Operation": an_object(
        {
            "id": ID,
            "kind": {"enum": ["backup", "restore", "opening", "task"]},
            "machine": _NAMED,
            "state": {
                "enum": list(STATES),
                "description": "waiting, running, checking while it is under way; partial: with warnings; "
                "missed: it could not start in its window; unknown: it has ended, nobody tells how.",
            },
            "is_finished": {"type": "boolean"},
            "is_cancelling": {"type": "boolean"},
            "progress": {"type": "integer", "minimum": 0, "maximum": 100, "description": "Percent."},
            "message": {**TEXT, "description": "How it stands, in a sentence."},
            "reason": {"type": ["string", "null"], "description": "Why it ended badly."},
            "asked_by": TEXT,
            "created_at": MOMENT,
            "started_at": MAYBE_MOMENT,
            "finished_at": MAYBE_MOMENT,
            "restore_point": {**maybe(ID), "description": "What a backup has made."},
            "restored_machine": {**maybe(ID), "description": "What a restore has made."},
            "page": {"type": "string", "format": "uri", "description": "For people."},
        }
    ),
    "BackupWish": an_object(
        {
            "type": _BACKUP_TYPE,
            "destination": {"type": "string", "maxLength": 64, "description": "Left out: the usual one."},
            "priority": {"type": "integer", "minimum": 0, "maximum": 100},
            "window_start": {**WANTED_MOMENT, "description": "Left out: as soon as possible."},
            "window_end": {**WANTED_MOMENT, "description": "It must have started by then; left out: in six hours."},
        },
        optional=("destination", "priority", "window_start", "window_end"),
    ),
    "RestoreWish": an_object(
        {
            "restore_point": {"type": "string", "maxLength": 64},
            "place": {"type": "string", "maxLength": 130},
            "storage": {"type": "string", "maxLength": 64},
            "data_center": {"type": "string", "maxLength": 255},
            "name": {
                "type": "string",
                "maxLength": 255,
                "description": "Of the new machine; left out: the original one, which must be free.",
            },
        },
        optional=("storage", "data_center", "name"),
    ),
    "Problem": an_object(
        {
            "type": {"type": "string", "format": "uri"},
            "title": TEXT,
            "status": {"type": "integer"},
            "detail": TEXT,
            "correlation_id": {**TEXT, "description": "For questions to your provider."},
            "errors": {"type": "array", "items": an_object({"field": TEXT, "detail": TEXT})},
            "operation": {**ID, "description": "The one that is running."},
        },
        optional=("errors", "operation"),
    ),
}
