"""What people choose when they open a backup for its single files."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from portal import words
from portal.forms import full_minute
from vprotect_bridge.models import Backup
from vprotect_bridge.mount_wishes import HOURS


class MountForm(forms.Form):
    backup = forms.ChoiceField(
        label=_("Restore point"),
        error_messages={"invalid_choice": _("Choose one of the restore points that are offered.")},
    )
    hours = forms.TypedChoiceField(
        coerce=int,
        choices=lambda: [(n, ngettext("%(n)d hour", "%(n)d hours", n) % {"n": n}) for n in HOURS],
        initial=4,
        label=_("Close by itself after"),
        error_messages={"invalid_choice": _("Choose one of the times that are offered.")},
    )
    client_key = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, points: list[Backup], **kwargs: Any):
        super().__init__(*args, **kwargs)
        choices = [(p.guid, f"{full_minute(p.sort_at)} · {words.backup_type(p.type)}") for p in points]
        self.fields["backup"].choices = choices  # type: ignore[attr-defined]
        for name in ("backup", "hours"):
            self.fields[name].widget.attrs["class"] = "form-select"
