"""Pure. Numbers that carry their own proof: KID, organization and identity numbers, currencies."""
