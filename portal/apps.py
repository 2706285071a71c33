from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class PortalConfig(AppConfig):
    name = "portal"


class OperatorSiteConfig(admin_apps.AdminConfig):
    """In the place of "django.contrib.admin" among the applications."""

    default_site = "portal.operator_site.OperatorSite"
    default = False
