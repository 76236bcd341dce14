"""Loss terms, one a file; `objective` weighs and names them."""
