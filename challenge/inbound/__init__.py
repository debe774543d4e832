"""What comes back: bounces, complaints and replies, whichever way they arrive. `report` is the vocabulary all ways share."""
