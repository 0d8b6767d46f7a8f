"""What a chip is: its spec as records, memory generations, tiers, formats and links."""
