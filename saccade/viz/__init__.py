"""Pictures and lines of text about what was looked at. Nothing here decides anything.

`view.TraceView` is where it looked: made from a live `Trace` or from a stored row of answers. `trace` draws it, `text`
prints it. `pictures/` holds one file per picture, each drawn of a `subject.Subject`. Matplotlib is loaded by what draws
alone, without pyplot and its global state.
"""
