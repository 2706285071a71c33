"""What is sent and answered, as JSON Schema 2020-12: bodies are held against it at each request, answers in each test.

Names are the customer's and stay; sizes are bytes, times RFC 3339 in UTC.
"""

from __future__ import annotations

from typing import Any

from tokens.models import TOKEN_ROLES
from vprotect_bridge.models import Operation, Protection

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "description": "For people; it may change."}
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
            "items": {
                "type": "array",
                "items": {"$ref": f"#/components/schemas/{name}"},
                "description": "Those of this page, in order.",
            },
            "next_cursor": {"type": ["string", "null"], "description": "For the next page; null = this is the last."},
        }
    )


def maybe(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


_NAMED = an_object({"id": ID, "name": NAME})
_MACHINE = {
    "id": ID,
    "name": NAME,
    "platform": PLATFORM,
    "status": {"enum": [name.value for name in Protection], "description": "How well it is protected."},
    "exists": {"type": "boolean", "description": "false: it was deleted, and may still be restored."},
    "plan": {**maybe(_NAMED), "description": "The plan that backs it up by itself."},
    "last_backup_at": {**MAYBE_MOMENT, "description": "Of its last good backup."},
    "full_bytes": {**BYTES, "description": "Of its last full backup; null = not known."},
}
_KIND: Schema = {
    "enum": ["backup", "restore", "opening", "task"],
    "description": "opening: a backup is opened for single files; task: another one of the backup system's.",
}
_IS_USUAL: Schema = {"type": "boolean", "description": "true: where a backup goes that names none."}

SCHEMAS: dict[str, Schema] = {
    "Token": an_object(
        {
            "name": {**TEXT, "description": "What it was called when it was made."},
            "organisation": {**TEXT, "description": "The only one of which it sees anything."},
            "owner": {"type": ["string", "null"], "description": "E-mail address; null = the organisation itself."},
            "role": {"enum": [role.value for role in TOKEN_ROLES], "description": "What it may do now."},
            "machines": {
                "type": ["array", "null"],
                "items": ID,
                "description": "The only ones that it may see now; null = every machine.",
            },
            "expires_at": {**MOMENT, "description": "From then on it is answered with 401."},
        }
    ),
    "Machine": an_object(_MACHINE),
    "MachineDetail": an_object(
        {
            **_MACHINE,
            "running": {
                "type": "array",
                "items": an_object({"id": ID, "kind": _KIND}),
                "description": "Operations on it that have not ended.",
            },
        }
    ),
    "Machines": a_list_of("Machine"),
    "RestorePoint": an_object(
        {
            "id": ID,
            "at": {**MOMENT, "description": "The state of the machine to which it leads back."},
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
                "items": an_object({"id": ID, "name": NAME, "is_usual": _IS_USUAL}),
                "description": "All of them, on one page.",
            }
        }
    ),
    "RestorePlaces": an_object(
        {
            "items": {
                "type": "array",
                "items": an_object(
                    {
                        "id": {**ID, "description": "What a restore names as its place."},
                        "name": NAME,
                        "storages": {
                            "type": "array",
                            "items": an_object({"id": ID, "name": NAME, "free_bytes": BYTES}),
                            "description": "Where the disks may go there.",
                        },
                    }
                ),
                "description": "All of them, on one page.",
            },
            "data_centers": {
                "type": "array",
                "items": TEXT,
                "description": "Names to choose from.",
            },
            "needs_storage": {"type": "boolean", "description": "This platform wants a storage to be named."},
            "needs_data_center": {"type": "boolean", "description": "This platform wants a data center to be named."},
        }
    ),
    "Plan": an_object(
        {
            "id": ID,
            "name": NAME,
            "state": {"enum": ["active", "paused", "idle"], "description": "idle: it never backs anything up."},
            "schedules": {"type": "array", "items": TEXT, "description": "Sentences."},
            "time_zone": {**TEXT, "description": "IANA name, of the times in those sentences."},
            "next_run_at": {**MAYBE_MOMENT, "description": "null: none is coming."},
        }
    ),
    "Plans": a_list_of("Plan"),
    "Operation": an_object(
        {
            "id": ID,
            "kind": _KIND,
            "machine": {**_NAMED, "description": "What is backed up or restored."},
            "state": {
                "enum": list(STATES),
                "description": "waiting, running, checking while it is under way; partial: with warnings; "
                "missed: it could not start in its window; unknown: it has ended, nobody tells how.",
            },
            "is_finished": {"type": "boolean", "description": "true: nothing of it changes any more."},
            "is_cancelling": {"type": "boolean", "description": "true: it stops at its next safe point."},
            "progress": {"type": "integer", "minimum": 0, "maximum": 100, "description": "Percent."},
            "message": {**TEXT, "description": "How it stands, in a sentence."},
            "reason": {"type": ["string", "null"], "description": "Why it ended badly."},
            "asked_by": {**TEXT, "description": "A person, a token, a schedule or the provider, in words."},
            "created_at": {**MOMENT, "description": "When it was asked for, or first seen."},
            "started_at": {**MAYBE_MOMENT, "description": "null: not yet, or never."},
            "finished_at": {**MAYBE_MOMENT, "description": "null: not yet."},
            "restore_point": {**maybe(ID), "description": "What a backup has made, or what a restore restores."},
            "restored_machine": {**maybe(ID), "description": "What a restore has made."},
            "page": {"type": "string", "format": "uri", "description": "For people."},
        }
    ),
    "BackupWish": an_object(
        {
            "type": {
                "enum": ["full", "incremental"],
                "description": "incremental wants an earlier backup.",
            },
            "destination": {"type": "string", "maxLength": 64, "description": "Left out: the usual one."},
            "priority": {
                "type": "integer",
                "minimum": 0,
                "maximum": 100,
                "description": "The higher goes first, up to what your provider allows; left out: 50, or that.",
            },
            "window_start": {**WANTED_MOMENT, "description": "Left out: as soon as possible."},
            "window_end": {**WANTED_MOMENT, "description": "It must have started by then; left out: in six hours."},
        },
        optional=("destination", "priority", "window_start", "window_end"),
    ),
    "RestoreWish": an_object(
        {
            "restore_point": {"type": "string", "maxLength": 64, "description": "The id of one of the machine's."},
            "place": {"type": "string", "maxLength": 130, "description": "The id of one of its restore places."},
            "storage": {
                "type": "string",
                "maxLength": 64,
                "description": "The id of one of the place's storages, where needs_storage says so.",
            },
            "data_center": {
                "type": "string",
                "maxLength": 255,
                "description": "One of data_centers, where needs_data_center says so.",
            },
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
            "type": {
                "type": "string",
                "format": "uri",
                "description": "Which it is, and where that is explained.",
            },
            "title": {**TEXT, "description": "The same for all of this type."},
            "status": {"type": "integer", "description": "The status of the answer."},
            "detail": {**TEXT, "description": "This case, in a sentence."},
            "correlation_id": {**TEXT, "description": "For questions to your provider."},
            "errors": {
                "type": "array",
                "items": an_object(
                    {
                        "field": {**TEXT, "description": "Its name; a dot leads into an object."},
                        "detail": {**TEXT, "description": "What is wrong with it."},
                    }
                ),
                "description": "Of an invalid request, one for each field.",
            },
            "operation": {**ID, "description": "The one that is running."},
        },
        optional=("errors", "operation"),
    ),
}

# What a body may look like, by its schema.
EXAMPLES: dict[str, dict[str, Any]] = {
    "BackupWish": {"type": "full", "window_end": "2026-03-01T22:00:00Z"},
    "RestoreWish": {
        "restore_point": "c743c487-d456-55b7-aa48-c93c67001f1d",
        "place": "d981a6e6-5a24-54fd-93fc-fd1c589a738b/3d4d2770-9693-50f9-9d52-74163b2caac2",
        "name": "web-01-restored",
    },
}
