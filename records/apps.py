from django.apps import AppConfig


class RecordsConfig(AppConfig):
    name = "records"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from appointments import signals
        from records import sampling

        signals.sample_data_made.connect(sampling.add_records, dispatch_uid="records.sampling")
