from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class NotificationsConfig(AppConfig):
    name = "notifications"
    verbose_name = _("Notifications")

    def ready(self) -> None:
        from notifications.access import unread
        from notifications.models import Mail, WebhookDelivery
        from notifications.retention import remove_of
        from notifications.signing import encrypt_anew
        from portal.context_processors import READ_ALONG
        from tenants.key_rotation import ENCRYPTED_BY_OTHERS
        from tenants.outbox import failing
        from vprotect_bridge.health import ALSO_NEEDS_YOU
        from vprotect_bridge.leaving import tenant_removed

        READ_ALONG["unread"] = unread
        ALSO_NEEDS_YOU["mails"] = lambda: failing(Mail.across_tenants.all()).count()
        ALSO_NEEDS_YOU["webhook_calls"] = lambda: failing(WebhookDelivery.across_tenants.all()).count()
        ENCRYPTED_BY_OTHERS["secrets of webhooks"] = encrypt_anew
        tenant_removed.connect(remove_of, dispatch_uid="notifications_of_a_removed_tenant")
