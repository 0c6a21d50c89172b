import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel("Author", [
            ("id", models.BigAutoField(primary_key=True)),
            ("name", models.CharField(max_length=100)),
        ]),
        migrations.CreateModel("Book", [
            ("id", models.BigAutoField(primary_key=True)),
            ("title", models.CharField(max_length=200, unique=True)),
            ("facts", models.JSONField(default=dict)),
            ("tags", django.contrib.postgres.fields.ArrayField(models.TextField(), default=list)),
            ("author", models.ForeignKey("shop.author", django.db.models.deletion.CASCADE, related_name="books")),
        ]),
        migrations.CreateModel("Country", [
            ("code", models.TextField(primary_key=True)),
            ("name", models.TextField()),
        ], {"managed": False, "db_table": "countries"}),
    ]
