import pytest
from django.db import connection


@pytest.mark.django_db
def test_migrations_run_and_the_test_role_is_no_superuser():
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False,)
