"""Django on ASGI: a page that counts its visits in the session that Flask has.

pip install "asgi-flask-session[django]" uvicorn
uvicorn django_app:app --lifespan off
"""

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import path

from asgi_flask_session import FlaskSessionASGI

settings.configure(SECRET_KEY="of-django-alone", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])


async def count(request):
    session = request.scope["session"]
    session["visits"] = session.get("visits", 0) + 1
    return HttpResponse(f"Visit {session['visits']}", content_type="text/plain")


async def forget(request):
    request.scope["session"].clear()
    response = HttpResponseRedirect("/")
    response.status_code = 303
    return response


urlpatterns = [path("", count), path("forget", forget)]

# Around Django, so that a change before an unhandled exception is saved with the 500, as in Flask. With the adapter's
# middleware the same session is request.session: docs/django.md.
app = FlaskSessionASGI(get_asgi_application(), "a-long-random-value-of-yours", cookie_samesite="Lax")
