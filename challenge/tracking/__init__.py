"""Who opened, who clicked, and was it a person? Recorded as events that can be judged again."""
