"""Image tables and the layouts that fill them: one file a layout."""
