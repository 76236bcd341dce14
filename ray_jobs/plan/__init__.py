"""`csrms plan`: what a run will take, before anything runs."""
