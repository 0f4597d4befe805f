"""The command line. Options in, calls to the layers below; no decision about a scan is made in here."""
