"""Every address of the site, app by app. Names are plain, without namespaces."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from clinic import health

urlpatterns = [
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
    path("", include("appointments.urls")),
    path("", include("clinic.directory.urls")),
    path("", include("accounts.public_urls")),
    path("messages/", include("chat.urls")),
    path("record/", include("records.urls")),
    path("accounts/", include("accounts.urls")),  # before allauth's: ours replace some of its pages
    path("accounts/", include("allauth.urls")),
    # The workplace's own pages stand before the admin's, whose last pattern takes any address.
    path("admin/", include("accounts.admin_urls")),
    path("admin/", include("clinic.workplace.urls")),
    path("admin/", include("appointments.admin_urls")),
    path("admin/", include("records.admin_urls")),
    path("admin/", admin.site.urls),
]

handler400 = "clinic.views.bad_request"
handler403 = "clinic.views.forbidden"
handler404 = "clinic.views.not_found"
handler500 = "clinic.views.server_error"
