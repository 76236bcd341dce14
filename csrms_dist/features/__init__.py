"""Feature tables: extracted by an encoder, or given by the user."""
