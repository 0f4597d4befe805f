"""The Ray side: actors, a pool of them, and jobs. Nothing else imports ray."""
