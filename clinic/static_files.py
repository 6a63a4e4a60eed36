"""Static files in production: hashed names, compressed, and the same for what modules import."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage as _Storage


class ModuleStorage(_Storage):
    """What our own modules import gets hashed names too, so a release never mixes old with new.

    Django's switch for it covers everybody's files, and django_htmx ships some whose imports are
    for bundlers.
    """

    patterns = (*_Storage.patterns, ("js/*", _Storage._js_module_import_aggregation_patterns[1]))
