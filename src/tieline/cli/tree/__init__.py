"""The commands, a file for each subject: options and texts; the work is done in `cli`, and imported when it is asked for."""
