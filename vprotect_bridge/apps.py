from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class VprotectBridgeConfig(AppConfig):
    name = "vprotect_bridge"
    verbose_name = _("vProtect")

    def ready(self) -> None:
        from vprotect_bridge import claims  # noqa: F401 — connects what a claim does
