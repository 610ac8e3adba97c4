"""Project folders to begin with: `demo`, which speaks to the sandboxes, and `blank`, which is edited.

Plain files, copied as they are by `tieline init` and `tieline demo`.
"""
