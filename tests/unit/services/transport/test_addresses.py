import pytest

from services.transport.addresses import host_and_port


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:50061", ("127.0.0.1", 50061)),
        ("rack.lan:1", ("rack.lan", 1)),
        ("[::1]:50061", ("::1", 50061)),
        ("[fe80::1%eth0]:0", ("fe80::1%eth0", 0)),
        (":50061", ("", 50061)),
        ("unix:/run/partita", None),
        ("dns:///rack.lan:50061", None),
        ("ipv4:10.0.0.1:50061", None),
        ("::1:50061", None),
        ("rack.lan", None),
        ("", None),
    ],
)
def test_what_a_plain_socket_can_reach_is_told_from_what_it_cannot(
    address: str, expected: tuple[str, int] | None
) -> None:
    assert host_and_port(address) == expected
