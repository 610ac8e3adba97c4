"""`tieline`: the entry of the command line.

Exit codes: 0 all is well; 1 someone must act (parked, held, late, failed); 2 a file or an option is wrong; 3 changes are still owed,
because a system can't be reached; 4 tieline stopped itself for safety (another runner, a brake, a plan that no longer holds);
5 the store or tieline itself failed; 130 interrupted.
"""

from __future__ import annotations

import gc
import os
import sys

from tieline._version import __version__


def main() -> None:
    """Run the command line. `version` answers before anything heavy is imported."""
    arguments = sys.argv[1:]
    if arguments in (["version"], ["--version"]):
        sys.stdout.write(f"tieline {__version__}\n")
        return
    if arguments == ["version", "--json"]:
        sys.stdout.write(f'{{"version": "{__version__}"}}\n')
        return
    # Records live for milliseconds, modules for good, and neither holds cycles: most collections would be for nothing.
    gc.set_threshold(50_000, 20, 20)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for some takes as long as reading a project
    try:
        from tieline.cli.commands import run_command_line

        code = run_command_line()
    except KeyboardInterrupt:  # while the commands were being imported
        sys.stderr.write("interrupted\n")
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
