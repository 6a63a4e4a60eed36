from django.apps import AppConfig


class ClinicConfig(AppConfig):
    """The wiring: no models of its own, only what is registered when the project starts."""

    name = "clinic"

    def ready(self) -> None:
        from clinic import checks, measuring  # noqa: F401  (registers the system checks)

        measuring.start()
