"""The orchestrator in a Django project.

    INSTALLED_APPS = [..., "orchestrator.contrib.django"]
    ORCHESTRATOR = {"API_URL": "https://workflows.example", "API_KEY": "...", "NAMESPACE": "shop"}

    from orchestrator.contrib.django import start_in, start_on_commit

It adds no models and no middleware. `manage.py orchestrator` is the command line, `manage.py check`
checks the settings, and `InstanceLink` links rows of the admin to the console.
"""

from orchestrator.contrib.django.starts import start_in, start_on_commit

__all__ = ["start_in", "start_on_commit"]
