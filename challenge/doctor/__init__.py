"""Is this installation fit to send? Small checks over DNS, relay, machine and mails; `examine` runs all of them."""
