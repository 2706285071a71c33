from django.apps import AppConfig
from django.db.models.signals import post_migrate


class TenantsConfig(AppConfig):
    name = "tenants"

    def ready(self) -> None:
        from tenants import checks, database_roles  # noqa: F401 — registers the checks

        post_migrate.connect(database_roles.apply_access, sender=self)
