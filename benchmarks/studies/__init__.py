"""The scripts behind the tables of this repository; not in the wheel."""
