from django.urls import path

from notifications.views import alerts, page, preferences, settings, unsubscribe

urlpatterns = [
    path("notifications/unsubscribe/<str:token>/", unsubscribe.unsubscribe, name="unsubscribe"),
    path("accounts/notifications/", preferences.notification_preferences, name="notification-preferences"),
]

tenant_urlpatterns = [
    path("alerts/", alerts.alert_list, name="alerts"),
    path("notifications/", page.notification_list, name="notifications"),
    path("notifications/mark/", page.notifications_mark, name="notifications-mark"),
    path("settings/notifications/", settings.notification_settings, name="notification-settings"),
    path("settings/webhooks/new/", settings.webhook_create, name="webhook-create"),
    path("settings/webhooks/<uuid:webhook_id>/", settings.webhook, name="webhook"),
    path("settings/webhooks/<uuid:webhook_id>/remove/", settings.webhook_remove, name="webhook-remove"),
]
