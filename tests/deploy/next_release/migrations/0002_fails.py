from django.db import migrations


class Migration(migrations.Migration):
    """Fails until somebody makes the table that it expects."""

    dependencies = [("next_release", "0001_done")]
    operations = [migrations.RunSQL("ALTER TABLE next_release_missing ADD COLUMN note INT")]
