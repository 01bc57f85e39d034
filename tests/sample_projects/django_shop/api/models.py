from django.db import models


class Reservation(models.Model):
    order = models.CharField(max_length=40, unique=True)
    item = models.CharField(max_length=40)


class Charge(models.Model):
    order = models.CharField(max_length=40, unique=True)
    amount = models.DecimalField(max_digits=10, decimal_places=2)


class Shipment(models.Model):
    order = models.CharField(max_length=40, unique=True)
    address = models.TextField()


class Try(models.Model):
    """How often a carrier was asked."""

    order = models.CharField(max_length=40, unique=True)
    count = models.IntegerField(default=0)
