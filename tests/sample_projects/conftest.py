"""The projects' own tests are theirs to run."""

collect_ignore = ["django_shop", "flask_shop"]
