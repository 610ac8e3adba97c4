"""What every part of a run needs: the integration made ready, the run's ledger, the table of failures."""
