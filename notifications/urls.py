from django.urls import path

from notifications.views import page, preferences

urlpatterns = [
    path("accounts/notifications/", preferences.notification_preferences, name="notification-preferences"),
]

tenant_urlpatterns = [
    path("notifications/", page.notification_list, name="notifications"),
    path("notifications/mark/", page.notifications_mark, name="notifications-mark"),
]
