from django.contrib.postgres.fields import ArrayField
from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=100)


class Book(models.Model):
    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
    title = models.CharField(max_length=200, unique=True)
    facts = models.JSONField(default=dict)
    tags = ArrayField(models.TextField(), default=list)
    sold = models.PositiveIntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["author", "title"], name="book_by_author")]
        constraints = [models.CheckConstraint(condition=models.Q(sold__lte=1000), name="sold_few")]


class Country(models.Model):
    """Shared with every tenant by plio.share()."""

    code = models.TextField(primary_key=True)
    name = models.TextField()

    class Meta:
        managed = False
        db_table = "countries"
