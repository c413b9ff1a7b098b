"""`stackscreen dashboard`: the dashboard under gunicorn, in this process."""

import socket
from typing import Annotated, Any

import typer

from schema.errors import StackscreenError
from stackscreen.cli.console import step
from stackscreen.settings import Settings, get_settings


class PortInUseError(StackscreenError):
    """Something else listens where the dashboard should."""


def dashboard(
    host: Annotated[
        str, typer.Option("--host", help="address to listen on; the setting dashboard.host if left out")
    ] = "",
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="port [default: dashboard.port]; 0 = any free one")
    ] = None,
) -> None:
    """Serve the dashboard until Ctrl-C. Changes nothing in the database, and starts no service."""
    settings = get_settings()
    chosen = settings.dashboard.model_copy(
        update={
            "host": host or settings.dashboard.host,
            "port": settings.dashboard.port if port is None else port,
        }
    )
    serve(settings.model_copy(update={"dashboard": chosen}))


def serve(settings: Settings) -> None:
    """Serve on the settings' host and port with their number of workers; returns after Ctrl-C.

    Raises:
        PortInUseError: the port is taken, or the address is not this machine's.
    """
    # Bound here and handed to gunicorn, which would try for five seconds and then exit by itself.
    listener = listen(settings.dashboard.host, settings.dashboard.port)
    host, port = listener.getsockname()[:2]
    step(f"dashboard on http://{f'[{host}]' if ':' in host else host}:{port} (Ctrl-C stops it)")
    server = _server(settings, listener)
    try:
        server.run()
    except SystemExit as end:
        # gunicorn ends a clean stop this way.
        if end.code not in (0, None):
            raise


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 is any free one.

    Raises:
        PortInUseError: something listens there already, or the address is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PortInUseError(f"{host} is not an address to listen on.", hint="Use --host 127.0.0.1.") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise PortInUseError(
            f"The dashboard cannot listen on {host} port {port}: {(error.strerror or str(error)).lower()}.",
            hint=f"Stop what listens there, or choose another: `export STACKSCREEN_DASHBOARD__PORT={port + 1}`.",
        ) from error
    return listener


def _server(settings: Settings, listener: socket.socket) -> Any:
    from gunicorn.app.base import BaseApplication

    class Server(BaseApplication):
        def load_config(self) -> None:
            options = {
                "bind": f"fd://{listener.detach()}",  # gunicorn closes it
                "workers": settings.dashboard.workers,
                "worker_class": "gthread",
                "threads": 4,
                "timeout": 120,
                "graceful_timeout": 5,
                "loglevel": "warning",
                "control_socket_disable": True,
            }
            for name, value in options.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            # In each worker, after the fork: a connection pool must not be shared by processes.
            from dashboard.app import create_app

            return create_app(settings).server

    return Server()
