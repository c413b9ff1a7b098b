"""The Celery tasks: each module holds those of one stage, and registers them with the app."""
