import unittest

from workers import tasks
from workers.run import app, flask_app


class Orders(unittest.TestCase):
    def setUp(self):
        app.conf.task_always_eager = True

    def test_an_order_is_reserved_and_charged(self):
        self.assertEqual(tasks.reserve.delay("test", "lamp").get(), {"order": "test"})
        self.assertEqual(tasks.charge.delay("test", 5).get(), {"order": "test"})
        found = flask_app.test_client().get("/orders/test").get_json()
        self.assertEqual(found, {"reserved": True, "charged": True, "shipped": False})
        tasks.refund.delay("test").get()
        tasks.release.delay("test", "lamp").get()

    def test_a_card_is_declined(self):
        self.assertIsInstance(tasks.charge.delay("test", 500).result, tasks.Declined)

    def test_a_carrier_is_asked_again(self):
        self.assertEqual(tasks.ship.delay("shipped", "here").get()["retries"], 1)
