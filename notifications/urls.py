from django.urls import path

from notifications.views import page, preferences, unsubscribe

urlpatterns = [
    path("notifications/unsubscribe/<str:token>/", unsubscribe.unsubscribe, name="unsubscribe"),
    path("accounts/notifications/", preferences.notification_preferences, name="notification-preferences"),
]

tenant_urlpatterns = [
    path("notifications/", page.notification_list, name="notifications"),
    path("notifications/mark/", page.notifications_mark, name="notifications-mark"),
]
