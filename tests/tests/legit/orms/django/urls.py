"""Two views: one writes, one writes and fails."""

from django.http import Http404, HttpResponse
from django.urls import path

from shop.models import Author


def add(request):
    Author.objects.create(name=request.GET["name"])
    return HttpResponse(",".join(Author.objects.order_by("id").values_list("name", flat=True)))


def add_and_fail(request):
    Author.objects.create(name=request.GET["name"])
    raise Http404


urlpatterns = [path("add", add), path("fail", add_and_fail)]
