"""The door: a listener, one session for each client, one short handler for each method."""
