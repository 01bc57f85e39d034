"""Links from rows of Django's admin to their instances in the console.

@admin.register(Order)
class OrderAdmin(InstanceLink, admin.ModelAdmin):
    list_display = ("id", "total", "workflow_link")
    readonly_fields = ("workflow_link",)
    instance_field = "instance"        # the field or attribute with the instance's id
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.html import format_html

from orchestrator.contrib.django.configuration import console_url


class InstanceLink:
    """A mixin of `ModelAdmin` with the column `workflow_link`."""

    #: The field or attribute of the model with the instance's id.
    instance_field = "instance"

    @admin.display(description="workflow")  # type: ignore[untyped-decorator]  # Django has no types
    def workflow_link(self, row: Any) -> str:
        """Return a link to the row's instance; a dash where it has none."""
        instance = getattr(row, self.instance_field, None)
        if not instance:
            return "-"
        link: str = format_html('<a href="{}">{}</a>', console_url(str(instance)), instance)
        return link
