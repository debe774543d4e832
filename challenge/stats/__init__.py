"""What do the events add up to? One query for page, command, API and CSV."""
