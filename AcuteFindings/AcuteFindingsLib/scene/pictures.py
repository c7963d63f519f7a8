"""The pictures of a finding: Slicer's own views where the machine can draw them, matplotlib's where it cannot."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.scene.nodes import FindingNodes
from AcuteFindingsLib.scene.offscreen import offscreen_rendering_problem
from AcuteFindingsLib.scene.picture_plan import Picture, as_pictures, plan_pictures
from AcuteFindingsLib.study.study import Study


def draw_pictures(
    finding: Finding, study: Study, nodes: FindingNodes | None, folder: Path
) -> tuple[tuple[Picture, ...], str]:
    """Draw every picture of a finding, the most telling first.

    Parameters
    ----------
    nodes
        The finding in a scene of its own (`write_scene`); None where there is no scene.
    folder
        Where the PNG files go; made where it does not exist.

    Returns
    -------
    tuple
        The pictures, and one line that says why matplotlib drew them ("" where Slicer's views did). File names and
        captions are the same either way.
    """
    folder.mkdir(parents=True, exist_ok=True)
    problem = offscreen_rendering_problem()
    if nodes is None or problem is not None:
        from AcuteFindingsLib.scene.matplotlib_pictures import draw_with_matplotlib

        reason = problem or "there is no Slicer scene to draw"
        return draw_with_matplotlib(finding, study, folder), f"Pictures drawn with matplotlib: {reason}."
    return render_pictures(finding, study, nodes, folder), ""


def render_pictures(finding: Finding, study: Study, nodes: FindingNodes, folder: Path) -> tuple[Picture, ...]:
    """Draw the pictures with Slicer's slice views and the chart of its nodes.

    Raises
    ------
    SceneError
        When nothing can be drawn off screen on this machine.
    OSError
        A picture cannot be written.
    """
    from AcuteFindingsLib.scene.chart_picture import draw_chart
    from AcuteFindingsLib.scene.slice_picture import open_slice_view, write_png

    def write(image: Any, path: Path) -> None:
        with replace_when_written(path) as partial:
            write_png(image, partial)

    plans = plan_pictures(finding, study)
    # Compressing a picture takes as long as drawing it.
    with open_slice_view(nodes) as view, ThreadPoolExecutor(1) as background:
        written = [
            background.submit(
                write,
                draw_chart(nodes, plan.note) if plan.kind == "chart" else view.draw(plan, finding),
                folder / plan.file_name,
            )
            for plan in plans
        ]
    for one in written:
        one.result()
    return as_pictures(plans, folder)
