from celery import shared_task

from api.models import Charge, Reservation, Shipment, session


class Unreachable(Exception):
    """The carrier does not answer."""


class Declined(Exception):
    """The card is declined."""


@shared_task(name="workers.reserve", acks_late=True)
def reserve(order, item):
    with session() as db:
        db.merge(Reservation(order=order, item=item))
        db.commit()
    return {"order": order}


@shared_task(name="workers.release")
def release(order, item):
    _delete(Reservation, order)


@shared_task(name="workers.charge", bind=True, acks_late=True, throws=(Declined,))
def charge(self, order, amount):
    if int(amount) > 100:
        raise Declined(f"{amount} is too much")
    with session() as db:
        db.merge(Charge(order=order, amount=int(amount)))
        db.commit()
    return {"order": order}


@shared_task(name="workers.refund")
def refund(order):
    _delete(Charge, order)


@shared_task(
    name="workers.ship", bind=True, autoretry_for=(Unreachable,), retry_backoff=1, max_retries=2
)
def ship(self, order, address):
    if address == "nowhere" or self.request.retries == 0:
        raise Unreachable(address)
    with session() as db:
        db.merge(Shipment(order=order, address=address))
        db.commit()
    return {"order": order, "retries": self.request.retries}


def _delete(table, order):
    with session() as db:
        db.delete(db.get(table, order))
        db.commit()
