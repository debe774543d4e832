"""The servers that come along for one machine: Valkey, and an inbox that shows every mail in development."""
