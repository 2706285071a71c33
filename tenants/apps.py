from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class TenantsConfig(AppConfig):
    name = "tenants"
    verbose_name = _("Customers")

    def ready(self) -> None:
        from tenants import checks, database_roles  # noqa: F401 — registers the checks

        post_migrate.connect(database_roles.apply_access, sender=self)
