"""Every choice and limit of Stackscreen, by name: environment first, then `stackscreen.toml`, then the default.

`STACKSCREEN_SCREEN__MAX_STRAIN=0.01` in the environment and `max_strain = 0.01` under `[screen]` in
`stackscreen.toml` (of the current folder, or the file that `STACKSCREEN_CONFIG` names) say the same thing.
"""

import os
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

ENV_PREFIX: Final = "STACKSCREEN_"
ENV_DELIMITER: Final = "__"
CONFIG_VARIABLE: Final = "STACKSCREEN_CONFIG"
CONFIG_FILE: Final = "stackscreen.toml"

DATABASE_SCHEMES: Final = ("postgresql://", "postgresql+psycopg://")
BROKER_SCHEMES: Final = ("redis://", "rediss://", "redis+socket://")


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit of a setting, shown wherever the setting is."""

    symbol: str


def _processors() -> int:
    """Processors this process may use: fewer than the machine's under a container's or a scheduler's limit."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _default_data_dir() -> Path:
    # Run by root, Postgres serves as another user, who could not enter a data folder below /root.
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/stackscreen")
    return Path(platformdirs.user_data_dir("stackscreen", appauthor=False))


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ServicesSettings(_Group):
    """The servers that Stackscreen runs by itself."""

    start_timeout_s: Annotated[float, Unit("s")] = Field(
        180.0, gt=0, description="how long a start waits for Postgres and Redis, crash recovery included"
    )
    stop_timeout_s: Annotated[float, Unit("s")] = Field(
        60.0, gt=0, description="how long a stop waits for a server to finish before it is killed"
    )
    run_workers: bool = Field(
        True, description="whether `services start` also keeps a worker and a beat process running"
    )


class PostgresSettings(_Group):
    """The embedded Postgres (a server of your own is configured by itself)."""

    shared_buffers_mb: Annotated[int, Unit("MiB")] = Field(256, ge=16, description="Postgres's own page cache")
    work_mem_mb: Annotated[int, Unit("MiB")] = Field(16, ge=1, description="memory of one sort or hash")
    maintenance_work_mem_mb: Annotated[int, Unit("MiB")] = Field(
        256, ge=16, description="memory of one index build or vacuum"
    )
    max_wal_size_mb: Annotated[int, Unit("MiB")] = Field(
        2048, ge=128, description="write-ahead log between two checkpoints"
    )
    max_connections: int = Field(60, ge=10, le=1000, description="connections at the same time")


class WorkerSettings(_Group):
    """Celery: how tasks are run and redelivered."""

    concurrency: int = Field(default_factory=_processors, ge=1, description="tasks at the same time in one worker")
    queues: str = Field(
        "cpu,gpu",
        pattern=r"^(cpu|gpu)(,(cpu|gpu))?$",
        description="queues a worker serves; one without a GPU computes gpu tasks on its processors",
    )
    device: str = Field(
        "cpu",
        pattern=r"^(cpu|auto|cuda(:\d+)?)$",
        description="where a worker matches lattices: cpu, cuda, cuda:1, ..., or auto = cuda where torch finds one",
    )
    matcher: str = Field(
        "auto",
        pattern=r"^(auto|numba|torch)$",
        description="what matches lattices: numba (processors only), torch, or auto = torch on a GPU, else numba",
    )
    visibility_timeout_s: Annotated[int, Unit("s")] = Field(
        900, ge=1, description="an unacknowledged task is delivered again after this; longer than any task runs"
    )
    restore_interval_s: Annotated[int, Unit("s")] = Field(
        5, ge=1, description="how often tasks past the visibility timeout are looked for"
    )
    shutdown_grace_s: Annotated[float, Unit("s")] = Field(
        5.0, ge=0, description="how long a stopping worker lets tasks finish before it hands them back"
    )


class ImportSettings(_Group):
    """Reading files: each record in a process of its own kind, which may crash, hang or swell without harm."""

    workers: int = Field(default_factory=_processors, ge=1, description="processes that parse records")
    record_timeout_s: Annotated[float, Unit("s")] = Field(
        60.0, gt=0, description="time for one record; one that takes longer is quarantined"
    )
    worker_memory_mb: Annotated[int, Unit("MiB")] = Field(
        1024, ge=64, description="memory for one record; one that needs more is quarantined"
    )


class RescreenSettings(_Group):
    """The nightly rescreening."""

    enabled: bool = Field(True, description="whether beat sends the nightly rescreening")
    hour: Annotated[int, Unit("h UTC")] = Field(2, ge=0, le=23, description="hour of the nightly rescreening")
    minute: Annotated[int, Unit("min")] = Field(15, ge=0, le=59, description="minute of the nightly rescreening")


class ScreenSettings(_Group):
    """Which pairs match, how the work is cut, and which pairs become candidates."""

    # A tile keeps strains in two bytes, in units of 1e-6.
    max_strain: Annotated[float, Unit("1")] = Field(
        0.02, gt=0, le=0.065, description="total misfit of a match: its largest principal Hencky strain"
    )
    max_area: Annotated[float, Unit("Å²")] = Field(400.0, gt=0, le=4000, description="area of the common supercell")
    max_atoms: int = Field(200, ge=2, description="atoms in the common supercell")
    strain_levels: Annotated[tuple[float, ...], Unit("1")] = Field(
        (0.005, 0.01, 0.02, 0.03),
        description="total misfits within each of which the smallest supercell is kept too, as far as they are below "
        "max_strain",
    )
    edges: Literal["PBE", "HSE06", "G0W0"] = Field(
        "PBE",
        description="functional of all band edges, gaps and work functions that are aligned; never mixed in a run",
    )
    block_pairs: int = Field(
        2_000_000, ge=1, description="pairs of average cost aimed at in one block of work; of costlier ones, fewer"
    )
    queue: str = Field(
        "cpu",
        pattern=r"^(cpu|gpu)$",
        description="queue that blocks are sent to; only workers that serve it compute them (worker.queues)",
    )
    lease_s: Annotated[int, Unit("s")] = Field(
        60, ge=1, description="silence after which a block of a worker is given to another; working ones renew it"
    )
    candidate_max_strain: Annotated[float, Unit("1")] = Field(
        0.02, gt=0, le=0.2, description="total misfit up to which a matched pair is a candidate"
    )
    candidate_max_atoms: int = Field(
        100, ge=2, description="atoms in the supercell up to which a matched pair is a candidate"
    )
    candidate_max_atoms_unknown: int = Field(
        40, ge=2, description="the same, where the stability of a layer has not been computed by anyone"
    )
    candidate_max_hull_energy: Annotated[float, Unit("eV/atom")] = Field(
        0.2, ge=0, description="energy above the convex hull up to which a layer may be part of a candidate"
    )

    @field_validator("strain_levels")
    @classmethod
    def _rise(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        # To the unit in which tiles keep strains, so that what is within a level can be told from a tile.
        whole = all(abs(level * 1e6 - round(level * 1e6)) < 1e-6 for level in levels)
        if not whole or any(lower >= upper for lower, upper in pairwise((0.0, *levels, 0.200001))):
            raise ValueError("levels that rise from above 0 to at most 0.2, in whole millionths, as [0.005, 0.01]")
        return levels


class AnalystSettings(_Group):
    """Read-only access by SQL."""

    statement_timeout_ms: Annotated[int, Unit("ms")] = Field(
        30_000, ge=0, description="time after which an analyst's statement is cancelled; 0 = never"
    )


class DashboardSettings(_Group):
    """The dashboard's server."""

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(8050, ge=1, le=65535, description="TCP port to listen on")
    page_size: int = Field(100, ge=10, le=1000, description="rows fetched at a time by a table")
    workers: int = Field(2, ge=1, description="server processes")


class FetchSettings(_Group):
    """Downloads of public databases: how hard their servers are asked, and how much is taken from them."""

    requests_per_s: Annotated[float, Unit("1/s")] = Field(2.0, gt=0, description="requests begun in a second, at most")
    attempts: int = Field(
        5, ge=1, le=100, description="tries of a request, and of a transfer that makes no progress, before giving up"
    )
    backoff_s: Annotated[float, Unit("s")] = Field(
        1.0, gt=0, description="wait before the first retry; doubles with each further one"
    )
    max_wait_s: Annotated[float, Unit("s")] = Field(
        120.0, gt=0, description="longest wait before a retry; a server that asks for more is left alone"
    )
    connect_timeout_s: Annotated[float, Unit("s")] = Field(
        10.0, gt=0, description="how long a connection may take to be made"
    )
    read_timeout_s: Annotated[float, Unit("s")] = Field(
        60.0, gt=0, description="silence after which a connection is given up"
    )
    max_file_mb: Annotated[int, Unit("MiB")] = Field(4096, ge=1, description="size of one download")
    max_unpacked_mb: Annotated[int, Unit("MiB")] = Field(
        16_384, ge=1, description="size of what a packed download unpacks to"
    )
    page_limit: int = Field(100, ge=1, le=10_000, description="structures asked for in one OPTIMADE page")
    max_page_mb: Annotated[int, Unit("MiB")] = Field(64, ge=1, description="size of one OPTIMADE page")
    max_pages: int = Field(100_000, ge=1, description="pages of one OPTIMADE query")


class Settings(BaseSettings):
    """All settings. Build it with `load_settings` or `get_settings`, which explain what is wrong in a sentence."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter=ENV_DELIMITER, extra="forbid", frozen=True, allow_inf_nan=False
    )

    data_dir: Path = Field(
        default_factory=_default_data_dir, description="folder of everything that Stackscreen keeps; absolute"
    )
    database_url: str | None = Field(
        None, repr=False, description="Postgres to use instead of the embedded one, as postgresql://..."
    )
    broker_url: str | None = Field(
        None, repr=False, description="Redis to use instead of the embedded one, as redis://..."
    )
    services: ServicesSettings = Field(default_factory=ServicesSettings)
    postgres: PostgresSettings = Field(default_factory=PostgresSettings)
    worker: WorkerSettings = Field(default_factory=WorkerSettings)
    imports: ImportSettings = Field(default_factory=ImportSettings)
    rescreen: RescreenSettings = Field(default_factory=RescreenSettings)
    screen: ScreenSettings = Field(default_factory=ScreenSettings)
    analyst: AnalystSettings = Field(default_factory=AnalystSettings)
    dashboard: DashboardSettings = Field(default_factory=DashboardSettings)
    fetch: FetchSettings = Field(default_factory=FetchSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments (tests), then the environment, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=config_file())

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        value = value.expanduser()
        if not value.is_absolute():
            # Relative to what? The shell's folder, the file's, the worker's: three systems under one name.
            raise ValueError("an absolute path (or one that begins with ~)")
        return value.resolve()

    @field_validator("database_url")
    @classmethod
    def _psycopg(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not value.startswith(DATABASE_SCHEMES):
            raise ValueError(f"a URL that begins with {' or '.join(DATABASE_SCHEMES)}")
        return "postgresql+psycopg://" + value.split("://", 1)[1]

    @field_validator("broker_url")
    @classmethod
    def _redis(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(BROKER_SCHEMES):
            raise ValueError(f"a URL that begins with {', '.join(BROKER_SCHEMES[:-1])} or {BROKER_SCHEMES[-1]}")
        return value

    @model_validator(mode="after")
    def _redelivery_after_lease(self) -> "Settings":
        # A task delivered again while its block is still leased finds nothing to do and is gone: the block
        # would then wait for a sweep instead of a worker.
        if self.worker.visibility_timeout_s < self.screen.lease_s:
            raise ValueError(
                f"worker.visibility_timeout_s ({self.worker.visibility_timeout_s} s) is shorter than "
                f"screen.lease_s ({self.screen.lease_s} s): set it to at least screen.lease_s"
            )
        return self

    def as_environment(self) -> dict[str, str]:
        """These settings as environment variables, whole: what a child process needs to see the same ones."""
        values: dict[str, str] = {}
        for name in type(self).model_fields:
            value: Any = getattr(self, name)
            if value is not None:
                text = value.model_dump_json() if isinstance(value, BaseModel) else str(value)
                values[f"{ENV_PREFIX}{name.upper()}"] = text
        return values


def config_file() -> Path | None:
    """The settings file in force: the one `STACKSCREEN_CONFIG` names, or `stackscreen.toml` here, or none."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    here = Path.cwd() / CONFIG_FILE
    return here if here.is_file() else None


def load_settings(**arguments: Any) -> Settings:
    """Read the settings; arguments (dicts for groups) win over environment and file.

    Raises:
        SettingsError: a value is not allowed, a key is unknown, or the file cannot be read; in one sentence.
    """
    from stackscreen.settings_errors import check_environment_names, check_file, explain

    check_environment_names()
    check_file()
    try:
        return Settings(**arguments)
    except ValidationError as error:
        raise explain(error) from error
    except ValueError as error:  # a group given in the environment that is not JSON
        raise explain(error) from error


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once. See `load_settings` for what it raises."""
    return load_settings()
