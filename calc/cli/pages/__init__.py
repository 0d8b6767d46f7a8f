"""What commands print for a reader: cards, comparisons, pages of text."""
