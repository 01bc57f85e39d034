from django.http import JsonResponse

from api.models import Charge, Reservation, Shipment


def order(request, order):
    return JsonResponse(
        {
            "reserved": Reservation.objects.filter(order=order).exists(),
            "charged": [str(c.amount) for c in Charge.objects.filter(order=order)],
            "shipped": Shipment.objects.filter(order=order).exists(),
        }
    )
