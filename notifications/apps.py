from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class NotificationsConfig(AppConfig):
    name = "notifications"
    verbose_name = _("Notifications")

    def ready(self) -> None:
        from notifications.access import unread
        from portal.context_processors import READ_ALONG

        READ_ALONG["unread"] = unread
