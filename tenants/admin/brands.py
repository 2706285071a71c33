"""How the portal looks to a tenant's people: name, logo, accent, where help is."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from tenants import logos
from tenants.models import Brand


class BrandForm(forms.ModelForm):
    support_url = forms.URLField(label=capfirst(_("page for support")), required=False, assume_scheme="https")
    logo_file = forms.FileField(
        label=capfirst(_("logo")),
        required=False,
        help_text=_("PNG, JPEG, WebP or GIF, at most one megabyte; it is drawn anew."),
    )
    without_logo = forms.BooleanField(label=capfirst(_("take the logo away")), required=False)

    class Meta:
        model = Brand
        fields = ("name", "accent", "support_url", "support_email")

    drawn: bytes | None = None

    def clean_logo_file(self) -> Any:
        """Stays the upload, of which the audit keeps the name."""
        upload = self.cleaned_data["logo_file"]
        self.drawn = logos.drawn_anew(upload) if upload else None
        return upload

    def save(self, commit: bool = True) -> Any:
        if self.cleaned_data["without_logo"]:
            self.instance.logo, self.instance.logo_digest = None, ""
        elif self.drawn:
            self.instance.logo, self.instance.logo_digest = self.drawn, logos.digest(self.drawn)
        return super().save(commit)


class BrandInline(admin.StackedInline):
    model = Brand
    form = BrandForm
    fields = ["name", "accent", "support_url", "support_email", "logo_file", "without_logo"]
    verbose_name_plural = _("brand")
