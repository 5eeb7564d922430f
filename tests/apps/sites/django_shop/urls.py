"""What the project answers."""

import hashlib

from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


def index(request):
    return HttpResponse("Hello, %s!\n" % request.GET.get("name", "world"), content_type="text/plain")


@csrf_exempt
def upload(request):
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    return JsonResponse({
        "name": file.name,
        "size": file.size,
        "sha256": digest.hexdigest(),
        "spooled": hasattr(file, "temporary_file_path"),
        "comment": request.POST.get("comment"),
    })


def stream(request):
    return StreamingHttpResponse((f"line {number}\n" for number in range(1000)), content_type="text/plain")


def bug(request):
    raise RuntimeError("a bug in the shop")


def static(request, name):
    return serve(request, name, insecure=True)


urlpatterns = [
    path("", index),
    path("upload", upload),
    path("stream", stream),
    path("bug", bug),
    path("admin/", admin.site.urls),
    path("static/<path:name>", static),
]
