"""A small shop: an ordinary Celery project that takes orders.

`tasks` are its Celery tasks, `store` its SQL, `app` its Celery app.
"""
