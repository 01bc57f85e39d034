import os

from flask import Flask, jsonify

from api import models
from workers import celery_init_app


def create_app():
    app = Flask("shop")
    app.config["DATABASE"] = os.environ["SHOP_DATABASE_URL"].replace("postgresql", "postgresql+psycopg2", 1)
    models.init_app(app)
    celery_init_app(app)

    @app.get("/orders/<order>")
    def order(order):
        with models.session() as session:
            return jsonify(
                reserved=session.get(models.Reservation, order) is not None,
                charged=session.get(models.Charge, order) is not None,
                shipped=session.get(models.Shipment, order) is not None,
            )

    return app
