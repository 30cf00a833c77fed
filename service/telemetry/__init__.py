"""What the house tells about itself: metrics and logs. Ids only, never a person's data."""
