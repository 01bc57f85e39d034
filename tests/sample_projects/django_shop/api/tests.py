from django.test import TestCase

from api.models import Charge, Reservation, Shipment
from shop.celery import app
from workers import tasks


class Orders(TestCase):
    def setUp(self):
        app.conf.task_always_eager = True
        app.conf.task_store_eager_result = False
        self.addCleanup(setattr, app.conf, "task_always_eager", False)

    def test_an_order_is_reserved_and_charged(self):
        self.assertEqual(tasks.reserve.delay("o", "lamp").get(), {"order": "o"})
        self.assertEqual(tasks.charge.delay("o", "5.00").get()["order"], "o")
        self.assertEqual(Charge.objects.get(order="o").amount, 5)
        self.assertTrue(self.client.get("/orders/o").json()["reserved"])

    def test_a_card_is_declined(self):
        self.assertIsInstance(tasks.charge.delay("o", "500").result, tasks.Declined)
        with self.assertRaises(tasks.Declined):
            tasks.charge("o", "500")

    def test_a_carrier_is_asked_again(self):
        result = tasks.ship.delay("o", "here")
        self.assertEqual(result.get(), {"order": "o", "retries": 1})
        self.assertEqual(Shipment.objects.count(), 1)

    def test_an_order_is_released(self):
        tasks.reserve("o", "lamp")
        tasks.release("o", "lamp")
        self.assertFalse(Reservation.objects.exists())

    def test_tasks_look_as_they_were_written(self):
        self.assertEqual(tasks.charge.name, "workers.charge")
        self.assertTrue(tasks.charge.acks_late)
        self.assertIsInstance(tasks.reserve._get_current_object(), tasks.Audited)
