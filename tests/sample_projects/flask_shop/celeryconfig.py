import os

broker_url = os.environ["SHOP_REDIS_URL"] + "/1"
result_backend = os.environ["SHOP_REDIS_URL"] + "/2"
task_acks_late = True
task_reject_on_worker_lost = True
task_track_started = True
worker_prefetch_multiplier = 2
broker_connection_retry_on_startup = True
