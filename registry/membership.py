"""Services of servers that take part as long as they renew their leases.

Leases are kept in memory alone. A Registry that was started anew knows nobody, and every service registers again by
itself as soon as its next renewal is refused, which is within a third of a lease.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from core.cluster import ROLES, SERVER_SERVICES, Member, ServerRecord
from core.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from core.profiles import ServerState

logger = logging.getLogger(__name__)


@dataclass
class _Lease:
    member: Member
    end: float
    state: ServerState | None = None


class Membership:
    """The members and their leases.

    Args:
        lease_seconds: how long a member may be silent.
        changed: called when the members, or what is lastingly known of a server, have changed.
        clock: seconds that never go back.
    """

    def __init__(
        self, lease_seconds: float, changed: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        if lease_seconds <= 0:
            raise InvalidArgumentError(f"lease_seconds {lease_seconds:g} must be positive")
        self.lease_seconds = lease_seconds
        self._changed = changed
        self._clock = clock
        self._leases: dict[str, _Lease] = {}

    def register(self, member: Member) -> float:
        """Take ``member`` in; it replaces an older instance of the same service of the same server.

        Returns:
            Seconds within which it must renew.

        Raises:
            InvalidArgumentError: a field is empty, or role or service are unknown.
            FailedPreconditionError: the server takes part with another role.
        """
        _check(member)
        self.expire()
        for other in [lease.member for lease in self._leases.values() if lease.member.server == member.server]:
            if other.service != member.service and other.role != member.role:
                raise FailedPreconditionError(
                    f"server {member.server!r} cannot be {member.role}: its {other.service} at {other.address} says "
                    f"it is {other.role}; give all its services the same --role, or the server another name"
                )
        replaced = self._replaced_by(member)
        if replaced is not None:
            if replaced.address != member.address:
                logger.warning(
                    "%s of server %r moved from %s to %s; if both run, give one of them another server name",
                    *(member.service, member.server, replaced.address, member.address),
                )
            del self._leases[replaced.instance]
        self._leases[member.instance] = _Lease(member, self._clock() + self.lease_seconds)
        self._changed()
        return self.lease_seconds

    def _replaced_by(self, member: Member) -> Member | None:
        for lease in self._leases.values():
            if (lease.member.server, lease.member.service) == (member.server, member.service):
                return lease.member
        return None

    def renew(self, instance: str, state: ServerState | None = None) -> None:
        """Extend a lease, and keep its server's ``state`` where one is given.

        Raises:
            NotFoundError: no such instance, or its lease ran out: it must register again.
            InvalidArgumentError: the state is that of another server.
        """
        self.expire()
        lease = self._leases.get(instance)
        if lease is None:
            raise NotFoundError(f"no lease is held by instance {instance!r}; register again")
        if state is not None and state.name != lease.member.server:
            raise InvalidArgumentError(f"server {lease.member.server!r} reported the state of {state.name!r}")
        lease.end = self._clock() + self.lease_seconds
        if state is not None:
            known, lease.state = lease.state, state
            # Load and free memory differ each time; who watches wants to know what lasts.
            if known is None or known.fingerprint != state.fingerprint:
                self._changed()

    def deregister(self, instance: str) -> None:
        """Let a member go; nothing happens where it is gone already."""
        if self._leases.pop(instance, None) is not None:
            self._changed()

    def expire(self) -> None:
        """Let every member go whose lease has run out."""
        now = self._clock()
        gone = [lease.member for lease in self._leases.values() if lease.end <= now]
        for member in gone:
            logger.warning("%s of server %r at %s is gone: no renewal", member.service, member.server, member.address)
            del self._leases[member.instance]
        if gone:
            self._changed()

    def servers(self) -> tuple[ServerRecord, ...]:
        """The servers with a live service, devices before edge before cloud, then by name."""
        self.expire()
        by_server: dict[str, list[_Lease]] = {}
        for lease in self._leases.values():
            by_server.setdefault(lease.member.server, []).append(lease)
        records = [_record(name, leases) for name, leases in by_server.items()]
        return tuple(sorted(records, key=lambda record: (ROLES.index(record.role), record.name)))


def _record(name: str, leases: list[_Lease]) -> ServerRecord:
    members = [lease.member for lease in leases]
    return ServerRecord(
        name=name,
        role=members[0].role,
        services={member.service: member.address for member in sorted(members, key=lambda member: member.service)},
        state=next((lease.state for lease in leases if lease.state is not None), None),
        public_front_end_address=next((m.public_address for m in members if m.service == "front_end"), ""),
        instances={member.service: member.instance for member in members},
    )


def _check(member: Member) -> None:
    for field in ("server", "address", "instance"):
        if not getattr(member, field):
            raise InvalidArgumentError(f"a member's {field} is empty; give one")
    if member.role not in ROLES:
        raise InvalidArgumentError(
            f"server {member.server!r} has the unknown role {member.role!r}; give one of {', '.join(ROLES)}"
        )
    if member.service not in SERVER_SERVICES:
        raise InvalidArgumentError(
            f"server {member.server!r} offers the unknown service {member.service!r}; "
            f"only {', '.join(SERVER_SERVICES)} register"
        )
