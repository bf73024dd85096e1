"""Where dbt builds: the targets of dbt/profiles.yml, and the schemas that each of them builds in.

`prod` builds in staging, intermediate and marts. `dev` and `ci` put a prefix before these, so that they share a
database with prod and touch none of its tables; all of them read the same raw schemas. The macro generate_schema_name
has the same rule for dbt; a test compares the two.
"""

from __future__ import annotations

import getpass
import hashlib
import re

from include import settings
from include.errors import SettingError

PREFIX_VARIABLE = "DBT_SCHEMA_PREFIX"
_MOST = 48  # characters of a prefix: Postgres keeps 63 of a name, and _intermediate has to fit behind it


def schema_of(layer: str, target: str = settings.WAREHOUSE_TARGET) -> str:
    """Return the schema that a target builds a layer in: marts, dbt_ann_marts or ci_4711_marts. Raises SettingError."""
    if target == "prod":
        return layer
    return f"{plain_name(f'{_KINDS[target]}_{_owner(target)}')}_{layer}"


def target_variables(target: str = settings.WAREHOUSE_TARGET) -> dict[str, str]:
    """Return the environment variables from which dbt takes a target's schemas. Raises SettingError."""
    return {} if target == "prod" else {PREFIX_VARIABLE: _owner(target)}


def target_flags(target: str = settings.WAREHOUSE_TARGET) -> list[str]:
    """Return the flags of a dbt call on a target.

    Every call has the same, Airflow's too: dbt drops its partial parse when they differ. For the same reason a target
    that is not the running stack's has a folder of its own.
    """
    own = (
        [] if target == settings.WAREHOUSE_TARGET else ["--target-path", str(settings.DBT_PROJECT / "target" / target)]
    )
    return ["--profile", "warehouse", "--target", target, *own]


def plain_name(name: str) -> str:
    """Return a name as the beginning of a schema's: small letters, digits and _, not too long."""
    plain = re.sub("[^a-z0-9]+", "_", name.lower()).strip("_")
    if len(plain) <= _MOST:
        return plain
    digest = hashlib.md5(plain.encode(), usedforsecurity=False).hexdigest()
    return f"{plain[: _MOST - 9].strip('_')}_{digest[:8]}"


_KINDS = {"dev": "dbt", "ci": "ci"}


def _owner(target: str) -> str:
    """Return whose schemas a target's are: a developer's or a run's of continuous integration."""
    given = settings.setting(PREFIX_VARIABLE, "")
    if not given and target == "ci":
        raise SettingError(
            f"{PREFIX_VARIABLE}: the target ci needs an id here that no other run has, such as its number"
        )
    return given or getpass.getuser()
