"""docker-compose.yml and Dockerfile say what the code can do, and give nothing away."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from stackscreen.cli import app
from stackscreen.settings import load_settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
OURS = ("migrate", "worker", "beat", "dashboard")
SECRETS = ("POSTGRES_PASSWORD", "REDIS_PASSWORD")


def interpolated(text: str) -> str:
    """As Compose fills in `${NAME:?message}` and `${NAME:-default}`, with a password for the first."""

    def value(match: re.Match[str]) -> str:
        return match["default"] if match["default"] is not None else "Secret1"

    return re.sub(r"\$\{(?P<name>\w+):(?:\?[^}]*|-(?P<default>[^}]*))\}", value, text)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return yaml.safe_load(interpolated(TEXT))["services"]


def test_every_variable_has_a_default_or_is_demanded_and_passwords_are_demanded() -> None:
    expressions = re.findall(r"\$\{([^}]*)\}", TEXT)
    assert all(re.fullmatch(r"\w+:(\?.+|-.+)", expression) for expression in expressions)
    for name in SECRETS:
        assert re.search(rf"\$\{{{name}:\?", TEXT)
        assert not re.search(rf"\$\{{{name}:-", TEXT)


def test_no_password_is_written_down() -> None:
    example = (ROOT / ".env.example").read_text()
    assert all(re.search(rf"^{name}=$", example, re.MULTILINE) for name in SECRETS)
    assert not re.search(r"(?i)password['\"]?\s*[:=]\s*['\"]?\w", TEXT.replace("requirepass", ""))


def test_every_image_is_pinned_to_a_version(services: dict[str, Any]) -> None:
    images = [service["image"] for service in services.values()]
    images += re.findall(r"^ARG \w+_IMAGE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for image in images:
        assert re.search(r":v?\d+\.\d+\.\d+(-[\w.-]+)?$", image), image


def test_our_image_carries_our_version(services: dict[str, Any]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {services[name]["image"] for name in OURS} == {f"stackscreen:{version}"}


def test_ports_are_open_to_this_machine_only(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_command_is_one_of_ours(services: dict[str, Any]) -> None:
    for name in ("migrate", "worker", "beat"):
        command: Any = typer.main.get_command(app)
        for word in services[name]["command"]:
            command = command.commands[word]
        assert command.callback is not None


def test_the_environment_is_made_of_real_settings(services: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in services["worker"]["environment"].items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.database_url == "postgresql+psycopg://stackscreen:Secret1@database:5432/stackscreen"
    assert settings.broker_url == "redis://:Secret1@broker:6379/0"
    assert not settings.services.run_workers


def test_nothing_of_ours_starts_before_servers_and_schema_are_ready(services: dict[str, Any]) -> None:
    for name in OURS:
        conditions = {service: needed["condition"] for service, needed in services[name]["depends_on"].items()}
        expected = {"database": "service_healthy", "broker": "service_healthy"}
        if name != "migrate":
            expected["migrate"] = "service_completed_successfully"
        assert conditions == expected
    assert all("healthcheck" in services[name] for name in ("database", "broker", "dashboard"))


def test_queue_and_database_survive_their_containers(services: dict[str, Any]) -> None:
    broker = services["broker"]["command"]
    assert broker[broker.index("--appendonly") + 1] == "yes"
    assert broker[broker.index("--appendfsync") + 1] == "everysec"
    assert services["broker"]["volumes"] == ["broker:/data"]
    # Postgres 18's image keeps its data below this folder, and refuses a volume at the older path.
    assert services["database"]["volumes"] == ["database:/var/lib/postgresql"]


def test_our_containers_run_without_privileges(services: dict[str, Any]) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER stackscreen$", dockerfile, re.MULTILINE)
    for name in OURS:
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["read_only"]


def test_torch_is_installed_first_in_the_version_that_the_project_asks_for() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    asked = next(
        line
        for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
        if line.startswith("torch==")
    )
    assert dockerfile.index(f" {asked}\n") < dockerfile.index("-r requirements.lock")


def test_every_package_is_in_the_image() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for path in (*build["packages"], *build["force-include"]):
        assert re.search(rf"^COPY {path.split('/')[0]} ", dockerfile, re.MULTILINE), path
