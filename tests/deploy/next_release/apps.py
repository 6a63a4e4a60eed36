from django.apps import AppConfig


class NextRelease(AppConfig):
    name = "tests.deploy.next_release"
    label = "next_release"
