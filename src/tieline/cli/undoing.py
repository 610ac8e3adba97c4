"""`tieline undo`: put back what a run wrote."""

from __future__ import annotations

from pathlib import Path

from tieline.app import Tieline
from tieline.cli import operate
from tieline.cli.operate import print_write
from tieline.cli.output import ACT, OK, escape, output, plain, plural
from tieline.cli.report import personal_values
from tieline.cli.running import code_of, gravity, outcome_json, print_outcome, progress_of, stop_gently, within
from tieline.engine.runs.passes import Wanted


def undo(folder: Path, run: int, *, plan: bool, delete_filled: bool, show: int, mask: bool) -> int:
    """Undo a run, and list what was put back and what was not; with `plan`, only say what would be written.

    Returns 1 when something could not be put back.
    """
    wanted = Wanted(undo=run, delete_filled=delete_filled)
    with Tieline.open(folder) as project:
        name = project.integration_of(run)
        if not plan:

            async def work() -> int:
                stop_gently(project)
                with progress_of(name) as progress:
                    outcome = await project.run(name, wanted, progress=progress)
                left = project.not_undone(outcome.run)
                code = max(code_of(outcome), ACT if left else OK, key=gravity)
                back = list(project.writes_of(outcome.run))
                if mask:
                    for write in back if output.json_mode else back[:show]:
                        output.hide(personal_values(project, name, [write.fields, write.before]))
                if output.json_mode:
                    output.json({**outcome_json(outcome), "undone": run, "put_back": plain(back), "left_alone": plain(left)})
                    return code
                for write in back[:show]:
                    print_write(write, project.place_of(name, write.to) if write.to is not None else None)
                if len(back) > show:
                    output.print(f"… and {len(back) - show:,} more (--json)", style="dim")
                print_outcome(outcome)
                if not left:
                    return code
                output.print(f"  {plural(len(left), 'record')} not put back, or not all of it:", style="yellow")
                for one in left[:show]:
                    target = f" → {one['target_id']}" if one.get("target_id") else ""
                    output.console.print(f"    {escape(str(one['record']))}{escape(target)}: {escape(str(one['why']))}")
                if len(left) > show:
                    output.print(f"    … and {len(left) - show:,} more (--json)", style="dim")
                return code

            return within(project, work)
    return operate.plan(folder, name, wanted, out=None, show=show, mask=mask)
