"""Stores to keep cases in: SQLite, and a PostgreSQL server of its own."""

import pytest
from sqlalchemy import create_engine, text

from brat.store.database import prepare
from tests.factories.postgresql import postgresql, why_not


@pytest.fixture
def sqlite_engine(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'cases.db'}")
    prepare(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def postgresql_server():
    """The address of a fresh PostgreSQL server on a socket of its own, and the folder of its data."""
    if reason := why_not():
        pytest.skip(reason)
    with postgresql() as running:
        yield running


@pytest.fixture
def postgresql_engine(postgresql_server):
    engine = create_engine(postgresql_server[0])
    prepare(engine)
    yield engine
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE cases, trail, alembic_version"))
        connection.execute(text("DROP FUNCTION trail_is_only_added_to"))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request):
    return request.getfixturevalue(f"{request.param}_engine")
