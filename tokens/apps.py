from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TokensConfig(AppConfig):
    name = "tokens"
    verbose_name = _("API tokens")

    def ready(self) -> None:
        from tenants import askers
        from tokens.bearer import asker_with
        from tokens.leaving import remove_of
        from vprotect_bridge.leaving import tenant_removed

        askers.register(asker_with)
        tenant_removed.connect(remove_of, dispatch_uid="tokens_of_a_removed_tenant")
