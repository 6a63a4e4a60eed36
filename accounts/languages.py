"""Languages spoken in visits: ISO 639-1 codes with their English names."""

from django.utils.translation import gettext_lazy as _

SPOKEN_LANGUAGES = [
    ("en", _("English")),
    ("ar", _("Arabic")),
    ("zh", _("Chinese")),
    ("fr", _("French")),
    ("de", _("German")),
    ("hi", _("Hindi")),
    ("ig", _("Igbo")),
    ("it", _("Italian")),
    ("ja", _("Japanese")),
    ("km", _("Khmer")),
    ("ko", _("Korean")),
    ("pl", _("Polish")),
    ("pt", _("Portuguese")),
    ("ru", _("Russian")),
    ("so", _("Somali")),
    ("es", _("Spanish")),
    ("sw", _("Swahili")),
    ("tl", _("Tagalog")),
    ("uk", _("Ukrainian")),
    ("vi", _("Vietnamese")),
    ("ase", _("American Sign Language")),
]
