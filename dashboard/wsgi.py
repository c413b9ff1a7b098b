"""What a WSGI server is pointed at: `gunicorn dashboard.wsgi:server`."""

from stackscreen.settings import get_settings

from dashboard.app import create_app

server = create_app(get_settings()).server
