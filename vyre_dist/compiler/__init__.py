"""The rule compiler: from syntax trees to tables that find every match's place and run outward from there."""
