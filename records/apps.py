from django.apps import AppConfig


class RecordsConfig(AppConfig):
    name = "records"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from accounts import kept_text
        from appointments import signals
        from records import encounters, notes, sampling

        signals.visit_moving.connect(encounters.follow_visit, dispatch_uid="records.encounters")
        signals.sample_data_made.connect(sampling.add_records, dispatch_uid="records.sampling")
        for name, fields in (("chart_note", ("body", "version")), ("chart_note_amend", ("body",))):
            kept_text.keep_form(name, owner_of=notes.author_of, fields=fields)
