"""The product's settings with one address more: the control of the booking benchmark."""

from clinic.settings import *  # noqa: F403

ROOT_URLCONF = "bench.naive_urls"
