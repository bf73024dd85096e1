"""Every port, password, path and version that the project uses, each set here once.

A value comes from the environment, else from the file `.env` beside the README, else from the default below. The
compose file, the Astro configuration and the README repeat some of the defaults, because their tools can't read Python;
a test compares them with this module. Values are read once, when this module is imported.
"""

from __future__ import annotations

import ipaddress
import json
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from include.errors import SettingError

PROJECT = Path(__file__).resolve().parent.parent


def read_dotenv(path: Path) -> dict[str, str]:
    """Return the NAME=value lines of a file; an absent file is an empty one. Quotes around a value are dropped.

    By hand, because `make astro-ports` reads settings with a bare Python, before anything is installed.
    """
    if not path.is_file():
        return {}
    pairs = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        value = value.strip()
        if value[:1] in ("'", '"') and value.endswith(value[:1]):
            value = value[1:-1]
        if equals and not name.startswith("#"):
            pairs[name.strip()] = value
    return pairs


_DOTENV = read_dotenv(Path(os.environ.get("DOTENV", PROJECT / ".env")))


def setting(name: str, default: str) -> str:
    """Return the setting called `name`: the environment's, else .env's, else `default`. Empty counts as unset."""
    return os.environ.get(name) or _DOTENV.get(name) or default


def settings_that_begin_with(*prefixes: str) -> dict[str, str]:
    """Return every setting whose name begins with one of the prefixes, sorted by name; empty ones are left out."""
    names = sorted(name for name in {*os.environ, *_DOTENV} if name.startswith(prefixes))
    return {name: value for name in names if (value := setting(name, ""))}


def number_setting(name: str, default: int, least: int = 1, most: int | None = None) -> int:
    """Return a whole number; SettingError names the variable that holds none, or one out of bounds."""
    text = setting(name, str(default))
    if not text.isdecimal() or not least <= int(text) <= (most or int(text)):
        bounds = f"from {least} to {most}" if most else f"not below {least}"
        raise SettingError(f"{name}: {text!r} is not a whole number {bounds}")
    return int(text)


def port_setting(name: str, default: int) -> int:
    """Return a TCP port."""
    return number_setting(name, default, 1, 65535)


def choice_setting(name: str, default: str, choices: tuple[str, ...]) -> str:
    """Return one of some words; SettingError names the variable that holds another one."""
    text = setting(name, default)
    if text not in choices:
        raise SettingError(f"{name}: {text!r} is none of {', '.join(choices)}")
    return text


def address_setting(name: str, default: str) -> str:
    """Return an IP address; SettingError names the variable that holds none."""
    text = setting(name, default)
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise SettingError(
            f"{name}: {text!r} is no IP address: 127.0.0.1 is for this machine alone, 0.0.0.0 for every address of it"
        ) from None


def list_setting(name: str) -> list[str]:
    """Return the parts of a setting that are separated by commas; none where it is unset."""
    return [part.strip() for part in setting(name, "").split(",") if part.strip()]


@dataclass(frozen=True)
class Server:
    """A Postgres server of the stack, as seen from the host: who owns it, where it listens, what it holds."""

    name: str
    port_variable: str
    port: int
    user: str
    password: str
    databases: tuple[str, ...]

    def uri(self, database: str | None = None) -> str:
        """Return the libpq URI of one of its databases (the first one by default) on loopback."""
        name = database or self.databases[0]
        return f"postgresql://{quote(self.user)}:{quote(self.password, safe='')}@127.0.0.1:{self.port}/{name}"


POSTGRES_MAJOR = 18  # source and target, embedded and in Docker
AIRFLOW_POSTGRES_MAJOR = 16  # Airflow's own; the Astro CLI mounts the data folder of 17 and older

SOURCE = Server(
    name="source",
    port_variable="SOURCE_DB_PORT",
    port=port_setting("SOURCE_DB_PORT", 5432),
    user="source_db",
    password=setting("SOURCE_DB_PASSWORD", "source_db"),
    databases=("source_db",),
)
TARGET = Server(
    name="target",
    port_variable="TARGET_DB_PORT",
    port=port_setting("TARGET_DB_PORT", 5433),
    user="target_db",
    password=setting("TARGET_DB_PASSWORD", "target_db"),
    databases=("target_db",),
)
AIRFLOW_DB = Server(
    name="airflow",
    port_variable="AIRFLOW_DB_PORT",
    port=port_setting("AIRFLOW_DB_PORT", 5434),
    user="postgres",
    password=setting("AIRFLOW_DB_PASSWORD", "postgres"),
    databases=("airflow",),
)
UI_PORT_VARIABLE = "AIRFLOW_UI_PORT"
UI_PORT = port_setting(UI_PORT_VARIABLE, 5884)
# Of the stack without Docker: the address that the UI listens on, and whether it asks for a login.
UI_HOST = address_setting("AIRFLOW_UI_HOST", "127.0.0.1")
UI_IS_LOCAL = ipaddress.ip_address(UI_HOST).is_loopback
UI_LOGIN = choice_setting("UI_LOGIN", "off" if UI_IS_LOCAL else "on", ("on", "off")) == "on"
UI_USERS = list_setting("UI_USERS") or ["admin:admin"]  # name:role; a server has them too
DOCS_PORT_VARIABLE = "DBT_DOCS_PORT"
DOCS_PORT = port_setting(DOCS_PORT_VARIABLE, 8585)
PGADMIN_PORT = port_setting("PGADMIN_PORT", 16543)  # in Docker only

# Tasks that Airflow runs at the same time. One holds the transfer's snapshot, so another one must fit beside it.
PARALLELISM = number_setting("AIRFLOW_PARALLELISM", max(4, 2 * (os.cpu_count() or 1)), least=2)
TRANSFER_POOL_SLOTS = number_setting("TRANSFER_POOL_SLOTS", 2)  # tables that move at the same time
RETRY_SECONDS = number_setting("RETRY_SECONDS", 20, least=0)  # until a failed task is tried again
RUN_TIMEOUT = number_setting("RUN_TIMEOUT", 3600)  # seconds that `make run` gives all landing, and again the warehouse
HISTORY_DAYS = number_setting("HISTORY_DAYS", 90)  # that `warehouse stack prune` keeps of runs and logs

# "immediately": landing DAGs run once as soon as they are first switched on, then by their schedules
RUN_AT_FIRST_START = setting("FIRST_RUN", "scheduled") == "immediately"

# Which tables of source_db travel, as shell patterns of schema.table, ...: by default those of every contract's source,
# and all tables where there is no contract.
TRANSFER_TABLES = list_setting("TRANSFER_TABLES")
TRANSFER_EXCLUDE = list_setting("TRANSFER_EXCLUDE")

# When the warehouse runs beside the runs that landing starts: a cron schedule in a time zone. Where nothing lands, and
# no schedule is set, it runs daily.
WAREHOUSE_SCHEDULE = setting("WAREHOUSE_SCHEDULE", "")
WAREHOUSE_TIMEZONE = setting("WAREHOUSE_TIMEZONE", "UTC")

# the modes in which tables travel where the transfer's own choice is not wanted: sales.*=full,billing.account=key
TRANSFER_MODES = setting("TRANSFER_MODES", "")

# the targets of dbt/profiles.yml, and the one that Airflow and `warehouse` build in
TARGETS = ("dev", "ci", "prod")
WAREHOUSE_TARGET = choice_setting("WAREHOUSE_TARGET", "prod", TARGETS)

# the folder of the stack without Docker: databases, logs, demo files
LOCAL = (PROJECT / Path(setting("LOCAL_ROOT", ".local")).expanduser()).resolve()
CONTRACTS = PROJECT / "include" / "contracts"
DBT_PROJECT = PROJECT / "dbt"
# The warehouse DAG is rendered from this file. Not from target/manifest.json, which every dbt command writes in place.
DBT_MANIFEST = Path(setting("DBT_MANIFEST", str(DBT_PROJECT / "target" / "airflow" / "manifest.json")))
DBT_DOCS = DBT_MANIFEST.parent / "docs"  # made by `dbt docs generate`


def root_setting(name: str, default: str) -> str:
    """Return a root of files: a URL that Airflow's ObjectStoragePath takes as it is, a folder as an absolute path."""
    text = setting(name, default).rstrip("/")
    return text if "://" in text else str(Path(text).expanduser().resolve())


LANDING_ROOT = root_setting("LANDING_ROOT", str(LOCAL / "landing"))
ARCHIVE_ROOT = root_setting("ARCHIVE_ROOT", LANDING_ROOT + "_archive")
# the proxy of datasets behind a URL, where it is not that of HTTP_PROXY, HTTPS_PROXY or ALL_PROXY
LANDING_PROXY = setting("LANDING_PROXY", "")

HAS_DEMO = (PROJECT / "include" / "stack" / "demo").is_dir()  # until `warehouse demo remove`
# The demo's contracts and models are part of the project only while source_db is the demo's, so that nothing of the
# demo is ever written to somebody's own source. The stacks set this for their processes, which all have a connection.
WITH_DEMO = HAS_DEMO and setting("WAREHOUSE_DEMO", "off" if setting("AIRFLOW_CONN_SOURCE_DB", "") else "on") == "on"
# The demo's data are made up where the landing files are not the user's own either.
MAKES_DEMO_DATA = WITH_DEMO and not setting("LANDING_ROOT", "")

# Tables of source_db that never travel: landing's own, and those of the setting.
NEVER_MOVED = ["landing.*", *TRANSFER_EXCLUDE]

# What the names of the target's schemas begin with that hold the source's tables: retail -> raw_retail.
RAW_PREFIX = "raw_"

_CONNECTION = '{"conn_type": "http", "password": "..."}'
_DEFAULT_URIS = {"source_db": SOURCE.uri("source_db"), "target_db": TARGET.uri("target_db")}


def connection_uri(name: str) -> str:
    """Return the libpq URI of the connection `name`, from AIRFLOW_CONN_<NAME> or the demo default.

    Raises SettingError for a name that has neither, and for what is no such URI. Inside Airflow tasks use
    `include.orchestration.defaults.connection_uri`, which also sees the connections of the UI and of secrets backends.
    """
    variable = f"AIRFLOW_CONN_{name.upper()}"
    uri = setting(variable, _DEFAULT_URIS.get(name, ""))
    if not uri:
        raise SettingError(f"no connection {name!r}: set {variable} to a postgresql:// URI")
    return checked_uri(uri, variable)


def connection_password(name: str) -> str:
    """Return the password of the connection `name`, from AIRFLOW_CONN_<NAME>, which is JSON or a URI as Airflow has it.

    Raises SettingError, which shows none of it. Inside Airflow tasks use that of `include.orchestration.defaults`.
    """
    variable = f"AIRFLOW_CONN_{name.upper()}"
    text = setting(variable, "")
    if not text:
        raise SettingError(f"no connection {name!r}: set {variable} to JSON: {_CONNECTION}")
    try:
        is_json = text.lstrip().startswith("{")
        found = json.loads(text).get("password") if is_json else unquote(urlsplit(text).password or "")
    except ValueError:
        raise SettingError(f"{variable} is neither a URI nor JSON such as {_CONNECTION}") from None
    return str(found or "")


def checked_uri(uri: str, origin: str) -> str:
    """Return a URI as postgresql://. Raises SettingError, which names its origin and shows none of it."""
    import psycopg  # here, because `make astro-ports` reads ports with nothing installed
    from psycopg.conninfo import conninfo_to_dict

    scheme, separator, rest = uri.partition("://")
    if not separator or scheme not in ("postgres", "postgresql"):
        raise SettingError(f"{origin} is not a postgresql:// URI")
    try:
        conninfo_to_dict("postgresql://" + rest)
    except psycopg.ProgrammingError:
        raise SettingError(
            f"{origin} is not a URI that libpq reads: postgresql://user:password@host:5432/database?sslmode=require, "
            "with no parameters but libpq's, and in the password %40 for @, %2F for / and %25 for %"
        ) from None
    return "postgresql://" + rest
