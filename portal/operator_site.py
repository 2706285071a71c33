"""The operator site as a whole: its lists in an operator's words and order, and one search over them."""

from __future__ import annotations

from typing import Any

from allauth.account.decorators import secure_admin_login
from django.conf import settings
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path
from django.utils.translation import gettext_lazy as _

# Django groups by application; these are the groups that an operator thinks in. A model that is in none follows.
SECTIONS: tuple[tuple[Any, dict[str, Any]], ...] = (
    (
        _("Customers"),
        {
            "tenants.tenant": _("Tenants"),
            "tenants.claim": _("Claims"),
            "tenants.membership": _("Members"),
            "tenants.user": _("People"),
            "tenants.identityprovider": _("Identity providers"),
            "reports.price": _("Prices"),
            "tenants.auditentry": _("Audit"),
        },
    ),
    (
        _("Backups"),
        {
            "vprotect_bridge.machine": _("Machines"),
            "vprotect_bridge.operation": _("Operations"),
            "vprotect_bridge.alert": _("Alerts"),
            "vprotect_bridge.backup": _("Restore points"),
            "vprotect_bridge.plan": _("Plans"),
            "vprotect_bridge.planchange": _("Changes of plans"),
            "vprotect_bridge.mount": _("Open backups"),
            "vprotect_bridge.download": _("Downloads"),
        },
    ),
    (
        _("Notifications"),
        {
            "notifications.mail": _("Mails"),
            "notifications.webhookdelivery": _("Calls of webhooks"),
        },
    ),
    (
        _("vProtect"),
        {
            "vprotect_bridge.upstreamstatus": _("Connection"),
            "vprotect_bridge.destination": _("Backup destinations"),
            "reports.chargebacksize": _("Usage checked"),
            "vprotect_bridge.hypervisor": _("Hypervisors"),
            "vprotect_bridge.cluster": _("Clusters"),
            "vprotect_bridge.storage": _("Storages"),
            "vprotect_bridge.policy": _("Policies"),
            "vprotect_bridge.schedule": _("Schedules"),
        },
    ),
    (
        _("Signing in"),
        {
            "mfa.authenticator": _("Second factors"),
            "usersessions.usersession": _("Sessions"),
            "account.emailaddress": _("E-mail addresses"),
            "socialaccount.socialaccount": _("Identities of providers"),
            "auth.group": _("Groups of operators"),
        },
    ),
)


class OperatorSite(AdminSite):
    site_header = site_title = _("Backup portal · operators")
    index_title = _("Operators")

    def login(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Signing in is the same as on the portal, second factor and limits of tries included."""
        return secure_admin_login(super().login)(request, extra_context)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        return {**super().each_context(request), "site_url": settings.PORTAL_URL}

    def get_urls(self) -> list[URLResolver | URLPattern]:
        return [path("search/", self.admin_view(self.search), name="search"), *super().get_urls()]

    def search(self, request: HttpRequest) -> HttpResponse:
        from portal.operator_search import find  # needs models, which are not loaded when this site is made

        text = request.GET.get("q", "")
        context = {**self.each_context(request), "title": _("Search"), "q": text, "found": find(self, request, text)}
        return TemplateResponse(request, "operator/search.html", context)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        if app_label is not None:
            return super().get_app_list(request, app_label)
        found = {
            f"{app['app_label']}.{model['object_name'].lower()}": (app, model)
            for app in super().get_app_list(request)
            for model in app["models"]
        }
        sections = [
            self._section(str(title), [(*found.pop(key), name) for key, name in names.items() if key in found])
            for title, names in SECTIONS
        ]
        rest = [(app, model, model["name"]) for app, model in found.values()]
        return [section for section in (*sections, self._section(str(_("Others")), rest)) if section["models"]]

    def _section(self, title: str, rows: list[tuple[Any, Any, Any]]) -> dict[str, Any]:
        label = rows[0][0]["app_label"] if rows else ""
        models = [{**model, "name": str(name)} for _app, model, name in rows]
        return {"name": title, "app_label": label, "app_url": "", "has_module_perms": True, "models": models}
