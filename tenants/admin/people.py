"""Members, and people across tenants."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from tenants.admin.audited import AuditedAdmin
from tenants.models import Membership, Role, User
from tenants.people import LAST_ADMINISTRATOR, is_last_administrator, only_administrator_of


class MembershipForm(forms.ModelForm):
    class Meta:
        model = Membership
        fields: ClassVar = ["user", "tenant", "role", "machine_guids", "may_open_backups"]
        help_texts: ClassVar = {"machine_guids": _("GUIDs, separated by commas. Empty: every machine of the tenant.")}

    def clean_machine_guids(self) -> list[str] | None:
        """An empty field means no limit, not "no machine"."""
        return self.cleaned_data["machine_guids"] or None

    def clean(self) -> dict[str, Any]:
        """The last administrator of a tenant stays what they are, also here."""
        chosen = super().clean() or {}
        before = Membership.objects.filter(pk=self.instance.pk).first()
        stays = chosen.get("role") == Role.ADMIN and chosen.get("machine_guids") is None
        moves = before is not None and chosen.get("tenant") not in {None, before.tenant}
        if before is not None and (not stays or moves) and is_last_administrator(before):
            raise forms.ValidationError(LAST_ADMINISTRATOR)
        return chosen


class MembershipInline(admin.TabularInline):
    model = Membership
    form = MembershipForm
    autocomplete_fields = ["user", "tenant"]
    extra = 0
    # A person is removed on the membership's own page, which knows the last administrator.
    can_delete = False


@admin.register(Membership)
class MembershipAdmin(AuditedAdmin):
    form = MembershipForm
    list_display = ["user", "tenant", "role", "machine_guids", "may_open_backups"]
    list_filter = ["role", "may_open_backups", "tenant"]
    list_select_related = ["user", "tenant"]
    search_fields = ["user__email", "user__name", "tenant__name"]
    autocomplete_fields = ["user", "tenant"]
    actions = None

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        is_last = isinstance(obj, Membership) and is_last_administrator(obj)
        return not is_last and super().has_delete_permission(request, obj)


class LowerCaseEmail(forms.ModelForm):
    def clean_email(self) -> str:
        return self.cleaned_data["email"].lower()


class NewUserForm(LowerCaseEmail, AdminUserCreationForm):
    usable_password = forms.ChoiceField(
        label=_("Password"),
        choices=[("false", _("They choose it, by “Forgot your password?”")), ("true", _("The one typed here"))],
        initial="false",
        widget=forms.RadioSelect(attrs={"class": "radiolist inline"}),
    )

    class Meta:
        model = User
        fields = ("email",)


class UserForm(LowerCaseEmail, UserChangeForm):
    class Meta:
        model = User
        fields = "__all__"  # noqa: DJ007 — the fieldsets below choose

    def clean_is_active(self) -> bool:
        """Who is switched off is no administrator any more, also not the last one."""
        is_active = bool(self.cleaned_data["is_active"])
        if not is_active and (tenants := only_administrator_of(self.instance)):
            names = ", ".join(str(tenant) for tenant in tenants)
            problem = _("The only administrator of %(names)s. Make another person one there first.")
            raise forms.ValidationError(problem, params={"names": names})
        return is_active


@admin.register(User)
class PersonAdmin(AuditedAdmin, UserAdmin):
    form = UserForm
    add_form = NewUserForm
    ordering = ["email"]
    list_display = ["email", "name", "is_active", "is_staff", "last_login"]
    list_filter = ["is_active", "is_staff", "memberships__tenant"]
    search_fields = ["email", "name"]
    inlines = [MembershipInline]
    change_form_template = "operator/person.html"
    fieldsets = (
        (None, {"fields": ["email", "password", "name", "is_active"]}),
        (_("Operator site"), {"fields": ["is_staff", "is_superuser", "groups"], "classes": ["collapse"]}),
        (_("Dates"), {"fields": ["last_login", "date_joined"]}),
    )
    add_fieldsets = ((None, {"fields": ["email", "name", "usable_password", "password1", "password2"]}),)
    readonly_fields = ["last_login", "date_joined"]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """People are switched off: the audit and what they did keep their name."""
        return False
