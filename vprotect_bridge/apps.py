from django.apps import AppConfig


class VprotectBridgeConfig(AppConfig):
    name = "vprotect_bridge"

    def ready(self) -> None:
        from vprotect_bridge import claims  # noqa: F401 — connects what a claim does
