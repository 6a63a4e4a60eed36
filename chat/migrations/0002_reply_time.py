from django.db import migrations, models

CHOICES = [
    (0, "the same working day"),
    (1, "one working day"),
    (2, "two working days"),
    (3, "three working days"),
    (5, "five working days"),
]


class Migration(migrations.Migration):
    dependencies = [("chat", "0001_initial"), ("directory", "0003_reply_time")]

    operations = [
        migrations.AddField(
            model_name="chatsettings",
            name="reply_days",
            field=models.PositiveSmallIntegerField(
                blank=True,
                choices=CHOICES,
                null=True,
                verbose_name="messages are answered within",
            ),
        ),
    ]
