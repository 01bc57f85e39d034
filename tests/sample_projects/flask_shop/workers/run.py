"""celery -A workers.run worker"""

from api import create_app, models

flask_app = create_app()
models.Base.metadata.create_all(flask_app.extensions["engine"])
flask_app.extensions["engine"].dispose()
app = flask_app.extensions["celery"]

from workers import tasks  # noqa: E402, F401
