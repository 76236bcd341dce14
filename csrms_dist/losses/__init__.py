"""Loss terms, one a file; `terms` lists them, `objective` weighs them."""
