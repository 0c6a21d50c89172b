"""Views that write, that write and fail, and that sign in."""

from django.contrib.auth import login
from django.contrib.auth.models import User
from django.http import Http404, HttpResponse
from django.urls import path

from shop.models import Author


def add(request):
    Author.objects.create(name=request.GET["name"])
    return HttpResponse(",".join(Author.objects.order_by("id").values_list("name", flat=True)))


def add_and_fail(request):
    request.session["told"] = True
    Author.objects.create(name=request.GET["name"])
    raise Http404


def add_and_answer_500(request):
    Author.objects.create(name=request.GET["name"])
    return HttpResponse(status=500)


def sign_in(request):
    login(request, User.objects.get(username=request.GET["name"]))
    return HttpResponse("welcome")


def who(request):
    return HttpResponse(request.user.get_username() or "nobody")


urlpatterns = [path("add", add), path("fail", add_and_fail), path("broken", add_and_answer_500), path("sign-in", sign_in),
               path("who", who)]
