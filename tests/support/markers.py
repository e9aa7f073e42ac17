"""The markers of the running test, so that no quick test starts a service."""

STARTS_SERVICES = frozenset({"service", "mlflow", "chaos"})

current: frozenset[str] = STARTS_SERVICES
"""Set by tests/conftest.py before each test."""


def assert_may_start_a_service() -> None:
    """Fail if `make test-unit` includes the running test.

    Raises:
        AssertionError: The test has none of the markers of tests that start services.
    """
    assert current & STARTS_SERVICES, "mark this test with @pytest.mark.service: it starts one"
