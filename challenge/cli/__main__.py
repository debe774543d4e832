"""`python -m challenge.cli` is `challenge`."""

import sys

from challenge.cli import main

sys.exit(main())
