"""Loads the pick list of diagnoses, so that every database has it (1,879 short rows)."""

from typing import Any

from django.db import migrations


def load(apps: Any, schema_editor: Any) -> None:
    from records.reference import load_categories

    load_categories(apps.get_model("records", "IcdCategory"))


class Migration(migrations.Migration):
    dependencies = [("records", "0002_rules")]

    operations = [migrations.RunPython(load, migrations.RunPython.noop)]
