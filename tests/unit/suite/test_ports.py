"""Ports that tests choose."""

from tests.ports import AFTER_PORTS, FIRST_PORT, free_port


def test_no_port_is_chosen_twice_nor_one_that_the_kernel_gives_to_others() -> None:
    chosen = [free_port() for _ in range(500)]
    assert len(set(chosen)) == 500
    assert all(FIRST_PORT <= port < AFTER_PORTS for port in chosen)
