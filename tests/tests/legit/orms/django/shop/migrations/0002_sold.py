from django.db import migrations, models


def first_author(apps, schema_editor):
    apps.get_model("shop", "Author").objects.using(schema_editor.connection.alias).create(name="first")


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [
        migrations.AddField("book", "sold", models.PositiveIntegerField(default=0)),
        migrations.AddConstraint("book", models.CheckConstraint(condition=models.Q(sold__lte=1000), name="sold_few")),
        migrations.AddIndex("book", models.Index(fields=["author", "title"], name="book_by_author")),
        migrations.RunPython(first_author, migrations.RunPython.noop),
    ]
