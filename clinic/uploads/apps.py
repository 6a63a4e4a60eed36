from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class UploadsConfig(AppConfig):
    name = "clinic.uploads"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = _("uploaded files")
