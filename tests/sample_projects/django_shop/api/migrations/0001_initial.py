from django.db import migrations, models


def _id():
    return ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False))


def _order():
    return ("order", models.CharField(max_length=40, unique=True))


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Reservation",
            fields=[_id(), _order(), ("item", models.CharField(max_length=40))],
        ),
        migrations.CreateModel(
            name="Charge",
            fields=[
                _id(),
                _order(),
                ("amount", models.DecimalField(decimal_places=2, max_digits=10)),
            ],
        ),
        migrations.CreateModel(
            name="Shipment", fields=[_id(), _order(), ("address", models.TextField())]
        ),
        migrations.CreateModel(
            name="Try", fields=[_id(), _order(), ("count", models.IntegerField(default=0))]
        ),
    ]
