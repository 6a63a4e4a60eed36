from django.db import migrations, models

CHOICES = [
    (0, "the same working day"),
    (1, "one working day"),
    (2, "two working days"),
    (3, "three working days"),
    (5, "five working days"),
]


class Migration(migrations.Migration):
    dependencies = [("directory", "0002_hospitalstaff")]

    operations = [
        migrations.AddField(
            model_name="hospital",
            name="reply_days",
            field=models.PositiveSmallIntegerField(
                choices=CHOICES,
                db_default=1,
                default=1,
                help_text="Patients read it beside the box in which they write.",
                verbose_name="messages are answered within",
            ),
        ),
    ]
