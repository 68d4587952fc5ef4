"""What programs use: tokens in place of cookies, JSON, and the gateway. Imports no view and no transport."""
