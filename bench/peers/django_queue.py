"""django-post_office: all mails queued with `send_many`, then `send_queued_mail` until nothing is left.

python django_queue.py BUNDLE PORT FIRST LAST FOLDER PROCESSES THREADS BATCH [resume]
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import django
from django.conf import settings

told_at, port, first, last, folder, processes, threads, batch, *rest = sys.argv[1:]
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "post_office"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": f"{folder}/post_office.sqlite3",
            "OPTIONS": {
                "timeout": 60,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    EMAIL_HOST="127.0.0.1",
    EMAIL_PORT=int(port),
    EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend",
    POST_OFFICE={"BATCH_SIZE": int(batch), "THREADS_PER_PROCESS": int(threads), "LOG_LEVEL": 0},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
    USE_TZ=True,
    SECRET_KEY="k" * 40,
)
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from letter import address, bundle, context, headers, wait_for_go  # noqa: E402
from post_office import mail  # noqa: E402
from post_office.models import EmailTemplate  # noqa: E402

logging.disable(logging.CRITICAL)
told = bundle(told_at)
is_resumed = bool(rest)
if not is_resumed:
    call_command("migrate", verbosity=0)
    EmailTemplate.objects.create(name="day", subject=told["subject"], content=told["text"], html_content=told["html"])
wait_for_go()
if not is_resumed:
    template = EmailTemplate.objects.get(name="day")
    for start in range(int(first), int(last) + 1, 1000):
        letters = []
        for number in range(start, min(start + 1000, int(last) + 1)):
            values = context(told, number)
            letters.append(
                {
                    "recipients": address(number),
                    "sender": told["sender"],
                    "template": template,
                    "context": values,
                    "headers": headers(values, told),
                    "render_on_delivery": True,
                }
            )
        mail.send_many(letters)
connection.close()
mail.send_queued_mail_until_done(str(Path(folder) / "lock"), int(processes), 0)
print("done", flush=True)
