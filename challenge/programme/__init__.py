"""What a challenge is made of: its days, its exercises, its words. Knows nothing of people, rows or mails."""
