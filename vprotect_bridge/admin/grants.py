"""What a tenant may use, chosen by name among what vProtect has."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.forms.models import BaseInlineFormSet
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from tenants.models import Grant
from vprotect_bridge.models import Cluster, Destination, Hypervisor, Storage

Choices = list[tuple[Any, Any]]
DATA_CENTER = f"{Grant.Kind.DATA_CENTER} "


def things_to_grant() -> Choices:
    """By kind; the value of each is its kind and its GUID."""
    rows = {
        Grant.Kind.DESTINATION: [(row.guid, row.name) for row in Destination.objects.filter(vanished_at=None)],
        Grant.Kind.HYPERVISOR: [
            (row.guid, f"{row.name} · {row.platform}") for row in Hypervisor.objects.filter(vanished_at=None)
        ],
        Grant.Kind.CLUSTER: _on_their_hypervisors(Cluster),
        Grant.Kind.STORAGE: _on_their_hypervisors(Storage),
    }
    groups: Choices = [
        (kind.label, [(f"{kind} {guid}", name) for guid, name in sorted(named, key=lambda row: row[1].lower())])
        for kind, named in rows.items()
    ]
    return [("", "---------"), *groups, (DATA_CENTER, _("A data center, by the name typed beside it"))]


def _on_their_hypervisors(model: type[Cluster] | type[Storage]) -> list[tuple[str, str]]:
    rows = model._default_manager.filter(vanished_at=None).select_related("hypervisor")
    return [(row.guid, f"{row.name} · {row.hypervisor.name}") for row in rows]


class GrantForm(forms.ModelForm):
    """What was granted and is gone from vProtect stays chosen, by its GUID."""

    what = forms.ChoiceField(label=_("What it may use"))

    class Meta:
        model = Grant
        fields = ("name",)

    def __init__(self, *args: Any, things: Choices, **kwargs: Any):
        super().__init__(*args, **kwargs)
        choices = list(things)
        if self.instance.pk:
            self.initial["what"] = now = f"{self.instance.kind} {self.instance.guid}"
            if now not in _values(choices):
                choices.append((now, _("%(guid)s, gone from vProtect") % {"guid": self.instance.guid}))
        self.fields["what"].choices = choices  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        chosen = super().clean() or {}
        if "what" in chosen:
            self.instance.kind, _space, self.instance.guid = chosen["what"].partition(" ")
        return chosen

    def _post_clean(self) -> None:
        """A grant of nothing has no kind to be checked by."""
        if "what" in self.cleaned_data:
            super()._post_clean()  # type: ignore[misc]


def _values(choices: Choices) -> set[str]:
    flat = {value for value, inside in choices if not isinstance(inside, list)}
    return flat | {value for _label, inside in choices if isinstance(inside, list) for value, _name in inside}


class GrantFormSet(BaseInlineFormSet):
    @cached_property
    def things(self) -> Choices:
        """Read once for all rows of the page."""
        return things_to_grant()

    def get_form_kwargs(self, index: int | None) -> dict[str, Any]:
        return {**super().get_form_kwargs(index), "things": self.things}

    def clean(self) -> None:
        super().clean()
        seen = set()
        for form in self.forms:
            what, name = (form.cleaned_data.get(field) for field in ("what", "name"))
            if what and form not in self.deleted_forms:
                if (what, name) in seen:
                    form.add_error("what", _("Granted twice."))
                seen.add((what, name))


class GrantInline(admin.TabularInline):
    model = Grant
    form = GrantForm
    formset = GrantFormSet
    fields = ("what", "name")
    extra = 0
