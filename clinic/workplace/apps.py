from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class WorkplaceConfig(AppConfig):
    name = "clinic.workplace"
    label = "workplace"


class WorkplaceAdminConfig(AdminConfig):
    """Django's admin with the workplace as its front page."""

    default_site = "clinic.workplace.site.WorkplaceSite"
