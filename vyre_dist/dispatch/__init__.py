"""The dispatch core: reports and their wire tail, the speculator, the variant race, routing."""
