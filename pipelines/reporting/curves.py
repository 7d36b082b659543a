"""The curves of a report: accuracy against tokens, and score against confidence."""

from collections.abc import Mapping, Sequence

from pipelines.reporting.charts import across, dot, frame, legend, line, steps, upwards, whisker
from saccade.metrics.calibration import expected_calibration_error, reliability
from saccade.viz.curves import Curve, Point
from saccade.viz.pictures.rate_distortion import spread, ticks
from saccade.viz.pixels import COLOURS
from saccade.wording import counted

SHOWN = 8  # lines of a reliability plot: as many as there are colours


def gaze_error(curves: Sequence[Curve]) -> str:
    """Score against the error of the gaze in degrees, with intervals."""
    return _plotted(
        curves, "degrees by which the gaze misses", "{:g} deg off", "Accuracy against gaze error", log=False
    )


def accuracy(curves: Sequence[Curve]) -> str:
    """Score against visual tokens, with intervals. Several curves get a logarithmic axis and a legend."""
    name, unit = "visual tokens per question", "with {:,.0f} tokens"
    return _plotted(curves, name, unit, "Accuracy against tokens", log=len(curves) > 1)


def _plotted(curves: Sequence[Curve], name: str, unit: str, title: str, log: bool) -> str:
    """A chart of curves over their points' x values, named `name` in `unit`."""
    points = [point for curve in curves for point in curve.points]
    metric = curves[0].metric
    places = [[point.at for point in curve.points] for curve in curves]
    if log:
        places = spread(places)
    every = [place for own in places for place in own]
    top = steps(max(max(point.score, point.high or 0.0) for point in points))
    if log:
        low, high = min(every) / 1.2, max(every) * 1.2
        x = across(low, high, ticks(low, high))
    else:
        tokens = steps(max(every) * 1.02, whole=True)
        x = across(0, tokens[-1], tokens)
    if log:
        x = across(x.low, x.high, x.ticks, log=True)
    y = upwards(0, top[-1], top)
    marks = []
    for number, (curve, own) in enumerate(zip(curves, places, strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        at = [(x.at(place), y.at(point.score)) for place, point in zip(own, curve.points, strict=True)]
        marks.append(line(at, colour))
        for (left, height), point in zip(at, curve.points, strict=True):
            if point.low is not None and point.high is not None:
                marks.append(whisker(left, y.at(point.low), y.at(point.high), colour))
            marks.append(dot(left, height, colour, _tip(point, metric, unit)))
    chart = frame(x, y, name, metric, marks, title)
    return chart + (legend([curve.name for curve in curves]) if len(curves) > 1 else "")


def _tip(point: Point, metric: str, unit: str) -> str:
    bounds = "" if point.low is None or point.high is None else f" [{point.low:.2f}, {point.high:.2f}]"
    return f"{point.name}: {metric} {point.score:.2f}{bounds} {unit.format(point.at)}"


def calibration(answers: Mapping[str, tuple[Sequence[float], Sequence[float]]], metric: str) -> tuple[str, str]:
    """A reliability diagram, and a sentence about it. answers: name -> (confidences, scores).

    The area of a dot is proportional to its number of answers. On the diagonal the mean score equals the confidence.
    """
    x = across(0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1))
    y = upwards(0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1))
    shown = list(answers.items())[:SHOWN]
    marks = [line([(x.at(0), y.at(0)), (x.at(1), y.at(1))], "currentColor", "diagonal")]
    errors = []
    for number, (name, (confidence, score)) in enumerate(shown):
        colour, bins = COLOURS[number % len(COLOURS)], reliability(confidence, score)
        at = [(x.at(b.confidence), y.at(b.score)) for b in bins]
        marks.append(line(at, colour))
        most = max((b.num_answers for b in bins), default=1)
        for (left, height), b in zip(at, bins, strict=True):
            tip = f"{name}: {counted(b.num_answers, 'answer')}, {b.confidence:.2f} sure, {metric} {b.score:.2f}"
            marks.append(dot(left, height, colour, tip, 3 + 6 * (b.num_answers / most) ** 0.5))
        errors.append(f"{name} {expected_calibration_error(confidence, score):.2f}")
    chart = frame(x, y, "confidence", metric, marks, "Confidence against score")
    if len(shown) == 1:
        confidence, score = shown[0][1]
        error = expected_calibration_error(confidence, score)
        return chart, f"Expected calibration error {error:.2f} over {counted(len(score), 'answer')}."
    more = f" (the first {SHOWN} of {len(answers)})" if len(answers) > SHOWN else ""
    return chart + legend([name for name, _ in shown]), f"Expected calibration errors: {', '.join(errors)}{more}."
