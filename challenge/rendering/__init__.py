"""From a mail folder and a person's context to the bytes that go over the wire. Knows no database."""
