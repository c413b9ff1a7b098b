"""What a WSGI server is pointed at: `gunicorn dashboard.wsgi:server`."""

from dashboard.app import create_app
from stackscreen.settings import get_settings

server = create_app(get_settings()).server
