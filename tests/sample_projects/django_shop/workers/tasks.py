from decimal import Decimal

from celery import Task, shared_task
from django.db import transaction
from django.db.models import F

from api.models import Charge, Reservation, Shipment, Try


class Unreachable(Exception):
    """The carrier does not answer."""


class Declined(Exception):
    """The card is declined."""


class Audited(Task):
    """A base class as projects have: it does a thing around each task."""

    def __call__(self, *args, **kwargs):
        with transaction.atomic():
            return super().__call__(*args, **kwargs)


@shared_task(name="workers.reserve", base=Audited, acks_late=True)
def reserve(order, item):
    Reservation.objects.get_or_create(order=order, defaults={"item": item})
    return {"order": order}


@shared_task(name="workers.release")
def release(order, item):
    Reservation.objects.filter(order=order).delete()


@shared_task(name="workers.charge", bind=True, acks_late=True, throws=(Declined,))
def charge(self, order, amount):
    if Decimal(amount) > 100:
        raise Declined(f"{amount} is too much")
    Charge.objects.get_or_create(order=order, defaults={"amount": amount})
    return {"order": order, "amount": Decimal(amount)}


@shared_task(name="workers.refund")
def refund(order):
    Charge.objects.filter(order=order).delete()


@shared_task(
    name="workers.ship", bind=True, autoretry_for=(Unreachable,), retry_backoff=1, max_retries=2
)
def ship(self, order, address):
    Try.objects.get_or_create(order=order)
    Try.objects.filter(order=order).update(count=F("count") + 1)
    if address == "nowhere" or self.request.retries == 0:
        raise Unreachable(address)
    Shipment.objects.create(order=order, address=address)
    return {"order": order, "retries": self.request.retries}
