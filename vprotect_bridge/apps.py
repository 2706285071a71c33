from django.apps import AppConfig


class VprotectBridgeConfig(AppConfig):
    name = "vprotect_bridge"
